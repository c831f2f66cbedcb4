"""Lets Chainer 7.8.1 run on today's Python, NumPy, SciPy and CuPy.

Chainer's last release is older than NumPy 1.24, CuPy 8, protobuf 4 and a
setuptools without ``pkg_resources``. Importing this package (``import
mixnorm`` does so before anything else) imports Chainer with the repairs in
the modules beside this file. Each repair

- belongs to one module of Chainer, and is made when that module is loaded,
- is made only where the running versions need it, and
- changes that module alone: what it lends to NumPy or to ``sys.modules``
  while the module is loaded is taken back afterwards.

Where Chainer had been imported before and works, its loaded modules are
repaired in place. Where its import had failed, importing this package raises
``ImportError``.
"""

# Each registers the repairs of its kind.
from mixnorm.compat import ideep  # NOQA
from mixnorm.compat import numpy_names  # NOQA
from mixnorm.compat import numpy_values  # NOQA
from mixnorm.compat import onnx_export  # NOQA
from mixnorm.compat import packages  # NOQA
from mixnorm.compat import processes  # NOQA

from mixnorm.compat.lost_names import restore_numpy_names  # NOQA
from mixnorm.compat.repairs import import_chainer

import_chainer()
