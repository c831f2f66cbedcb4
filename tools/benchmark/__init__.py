"""Measures what mixture normalization and mode normalization cost."""
import os

# Before NumPy is imported: OpenBLAS's threads hold their cores while they wait
# for another product, by default for 2^26 cycles, and keep them from the
# threads of mixture normalization.
os.environ.setdefault('OPENBLAS_THREAD_TIMEOUT', '16')
