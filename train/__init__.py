"""Training scripts, and the modules they are made of."""

import os

# Before NumPy is imported. While OpenBLAS's threads wait for another product
# they hold their cores, for 2^26 cycles by default; mixture normalization's
# threads need them.
os.environ.setdefault('OPENBLAS_THREAD_TIMEOUT', '16')

# Before Chainer is imported: it makes Chainer run on today's NumPy.
import mixnorm  # NOQA
