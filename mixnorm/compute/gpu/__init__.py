"""Arithmetic on a GPU: CUDA kernels, and what launches them.

What the functions do is said in :mod:`mixnorm.compute.contract`.

Arrays are of float16, float32 or float64, in any order of memory; a mixture
has at most 16 components.  Everything is on the device of the first array,
whichever is the current one.  Nothing waits for the GPU and nothing comes back
from it.  What lies between two passes over the points is one kernel, and so is
a whole fit where its sample fits the shared memory of the thread blocks that
run at once.  Sums are added up in an order that depends on shapes alone: the
same input gives the same bits.
"""
from mixnorm.compute.gpu import coefficients
from mixnorm.compute.gpu import fit
from mixnorm.compute.gpu import mixture
from mixnorm.compute.gpu import modes
from mixnorm.compute.gpu import rows
from mixnorm.compute.gpu import sample
from mixnorm.compute.gpu import seeding
from mixnorm.compute.gpu import transform

__all__ = [
    'coefficients', 'fit', 'mixture', 'modes', 'rows', 'sample', 'seeding',
    'transform']
