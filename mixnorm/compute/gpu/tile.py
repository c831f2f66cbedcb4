"""How points are divided into tiles in shared memory; beside ``tile.h``."""
from mixnorm.compute.gpu.constants import QUAD, THREADS
from mixnorm.compute.gpu.points import divide_up

# Thread blocks that fill a GPU; each has its own sums. A constant, so that
# sums do not depend on the device.
THREAD_BLOCKS = 512

# Every GPU's thread blocks have this much shared memory, in bytes.
SHARED_BYTES = 48 * 1024


def choose(n_points, n_dims, n_columns, n_constants, dtype):
    """Chooses a tile that fits into shared memory.

    Args:
        n_points (int): Number of points.
        n_dims (int): Number of channels.
        n_columns (int): Number of components at a time.
        n_constants (int): Number of components in all.
        dtype (numpy.dtype): The working dtype.

    Returns:
        tuple of ints: Points and channels of the tile, columns rounded up to
        whole quads, and bytes of shared memory.

    """
    n_columns = divide_up(n_columns, QUAD) * QUAD

    def size(points, channels):
        return _shared_bytes(
            points, channels, n_columns, n_constants, dtype.itemsize)

    points = THREADS
    # Where there are few points, small tiles make more thread blocks.
    while points > 16 and (size(points, n_dims) > SHARED_BYTES
                           or points * THREAD_BLOCKS // 2 > n_points):
        points //= 2
    channels = n_dims
    while size(points, channels) > SHARED_BYTES:
        channels = divide_up(channels, 2)
    return points, channels, n_columns, size(points, channels)


def _shared_bytes(n_points, n_channels, n_columns, n_constants, itemsize):
    """Returns the shared memory of a tile and of what goes with it."""
    def rounded(n):
        return divide_up(n, 16) * 16

    return (rounded(n_channels * (n_points + 1) * itemsize)
            + 2 * rounded(n_channels * n_columns * itemsize)
            + rounded(n_points * n_columns * itemsize)
            + 2 * QUAD * THREADS * itemsize + 8 * n_points
            # Constants, a number per point, and a few sums and flags.
            + rounded(n_constants * itemsize)
            + rounded(n_points * itemsize) + 128)
