"""Numbers that Python and the CUDA sources share.

A source gets each as a macro: ``THREADS`` as ``MIXNORM_THREADS``.
"""

# Threads of a thread block, and of a warp.
THREADS = 256
WARP = 32

# Components of a mixture, at most.
MAX_COMPONENTS = 16

# Components are worked on so many at a time.
QUAD = 4

# The part of the input that a thread block of the transform has.
TRANSFORM_POINTS = 64
TRANSFORM_CHANNELS = 32

# Neighbouring positions that one load of the aligned transform moves, and the
# channels that one of its thread blocks has, in all but the sums, and there.
FOUR = 4
ALIGNED_CHANNELS = 32
ALIGNED_SUM_CHANNELS = 16

# Channels of a thread block that adds up over samples what modes are made of.
MODE_CHANNELS = 8

# Points that the origin is the median of, at most.
ORIGIN_POINTS = 16
