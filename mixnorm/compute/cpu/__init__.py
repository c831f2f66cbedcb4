"""Arithmetic in main memory: blocked, threaded NumPy.

What the functions do is said in :mod:`mixnorm.compute.contract`.

Everything on points is written as products of thin matrices, so that ``K``
never multiplies an array of the input's size, and done block by block.
Thin products expand squares, ``(x - m)^2 = x^2 - 2 x m + m^2``, which cancels
where a mean is far from the origin in units of the deviation.  Therefore
points are centred where that is needed, and what is ill-conditioned all the
same (components far apart and narrow) is computed from differences.

What is built on points alone lies here: a kernel reads them from the array
and knows nothing of blocks.  :mod:`~mixnorm.compute.threads` and
:mod:`~mixnorm.compute.scratch` serve :mod:`mixnorm.compute.sets` as well.
"""
from mixnorm.compute.cpu import coefficients
from mixnorm.compute.cpu import fit
from mixnorm.compute.cpu import mixture
from mixnorm.compute.cpu import modes
from mixnorm.compute.cpu import rows
from mixnorm.compute.cpu import sample
from mixnorm.compute.cpu import seeding
from mixnorm.compute.cpu import transform

__all__ = [
    'coefficients', 'fit', 'mixture', 'modes', 'rows', 'sample', 'seeding',
    'transform']
