"""Arithmetic on points on a GPU: what launches the CUDA kernels.

The functions are those of :mod:`mixnorm.compute.cpu`.  ``x`` is a stack
``(B, C, L)`` (see :mod:`mixnorm.compute.stack`) of float16, float32 or
float64, in any order of memory; its working dtype is float32 for float16.  A
mixture is ``weights`` ``(K,)``, ``means`` and ``variances`` ``(K, C)`` in the
working dtype, with at most 16 components.

Nothing waits for the GPU and nothing comes back from it.  Sums are added up
in an order that depends on shapes alone: the same input gives the same bits.
"""
import math

import numpy

from mixnorm.compute.parameters import Parameters
from mixnorm.compute.stack import get_array_module, working_dtype

_MAX_COMPONENTS = 16

# Every GPU's blocks have this much shared memory, in bytes.
_SHARED_BYTES = 48 * 1024

# Blocks that fill a GPU; each has its own sums. A constant, so that sums do
# not depend on the device.
_BLOCKS = 512

# Those of the kernels.
_THREADS = 256
_WARP = 32
_QUAD = 4
_TILE_POINTS = 64
_TILE_CHANNELS = 32

# Points that the orientation is the median of; the kernel holds no more.
_ORIENTATION_POINTS = 16

NULL = numpy.uint64(0)
_int = numpy.int32
_index = numpy.int64


def launch(source, name, dtype, grid, shared_bytes, arguments):
    """Launches a kernel; see :mod:`mixnorm.compute.kernels.launcher`."""
    from mixnorm.compute.kernels import launcher
    launcher.launch(source, name, dtype, grid, shared_bytes, arguments)


def _check_components(n_components):
    if n_components > _MAX_COMPONENTS:
        raise ValueError(f'n_components is {n_components}: on a GPU it must '
                         f'be at most {_MAX_COMPONENTS}')


def _divide_up(n, by):
    return -(-n // by)


def _n_points(x):
    return x.shape[0] * x.shape[2]


def element_strides(x):
    """Returns strides in elements, as kernels take them."""
    return tuple(_index(s // x.itemsize) for s in x.strides)


def channels_fast(x):
    """Whether a point's channels lie closer together than points do.

    Adjacent threads then read adjacent channels.  Points lie apart by the
    last axis' stride in runs of its length; in short runs, by more.

    """
    batch, channel, length = (abs(s) for s in x.strides)
    if x.shape[2] == 1:
        length = batch
    return channel * min(x.shape[2], 8) < 8 * length


def _points(x):
    """Returns the arguments that describe a stack to a kernel."""
    return (x,) + element_strides(x) + (
        _index(x.shape[2]), _index(_n_points(x)), _int(x.shape[1]),
        _int(channels_fast(x)))


def contiguous(array, dtype):
    """Returns an array as kernels read it, a null pointer for ``None``."""
    if array is None:
        return NULL
    return get_array_module(array).ascontiguousarray(array, dtype=dtype)


def empty_in_order_of(x):
    """Makes an array of the same type and order in memory.

    Points' channels lie side by side in it if they do in ``x``, and otherwise
    it is contiguous: what is written side by side is read so.

    """
    xp = get_array_module(x)
    n_batch, n_dims, length = x.shape
    if channels_fast(x):
        return xp.empty((n_batch, length, n_dims), x.dtype).transpose(0, 2, 1)
    return xp.empty(x.shape, x.dtype)


def _shared_bytes(n_points, n_channels, n_columns, n_constants, itemsize):
    """Returns the shared memory of a tile and of what goes with it."""
    def rounded(n):
        return _divide_up(n, 16) * 16

    return (rounded(n_channels * (n_points + 1) * itemsize)
            + 2 * rounded(n_channels * n_columns * itemsize)
            + rounded(n_points * n_columns * itemsize)
            + 8 * _THREADS * itemsize + 8 * n_points
            # Constants, a number per point, and a few sums and flags.
            + rounded(n_constants * itemsize)
            + rounded(n_points * itemsize) + 128)


def _tile(n_points, n_dims, n_columns, n_constants, dtype):
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
    n_columns = _divide_up(n_columns, _QUAD) * _QUAD

    def size(points, channels):
        return _shared_bytes(
            points, channels, n_columns, n_constants, dtype.itemsize)

    points = _THREADS
    # Where there are few points, small tiles make more blocks.
    while points > 16 and (size(points, n_dims) > _SHARED_BYTES
                           or points * _BLOCKS // 2 > n_points):
        points //= 2
    channels = n_dims
    while size(points, channels) > _SHARED_BYTES:
        channels = _divide_up(channels, 2)
    return points, channels, n_columns, size(points, channels)


def _moments(x, n_rows, partial, n_components, centers, regularization,
             log_density=NULL):
    """Turns the blocks' sums into parameters; see ``mixnorm_moments``."""
    xp = get_array_module(partial)
    n_dims = x.shape[1]
    dtype = centers.dtype
    parameters = Parameters(
        xp.empty((n_components,), dtype),
        xp.empty((n_components, n_dims), dtype),
        xp.empty((n_components, n_dims), dtype))
    launch('mixture', 'mixnorm_moments', x.dtype,
           (_divide_up(n_dims, _WARP), n_components), 0,
           (partial, _index(n_rows), _index(_n_points(x)),
            _int(n_components), _int(n_dims), centers,
            numpy.float64(regularization)) + parameters + (log_density,))
    return parameters


def _empty_sums(x, n_rows, n_components):
    return get_array_module(x).empty(
        (n_rows, 2 * n_components * x.shape[1] + n_components + 1),
        numpy.float64)


def _mixture_pass(x, name, centers, arguments, regularization=0,
                  log_density=NULL):
    """Runs one of the kernels that end in parameters.

    Args:
        x (array): Stack ``(B, C, L)``.
        name (str): The kernel.
        centers (array): ``(K, C)``, what deviations are taken from.
        arguments (tuple): Its arguments between points and tile.
        regularization (float): Added to variances.
        log_density (array): Where the mean log density goes.

    Returns:
        Parameters: The new mixture.

    """
    n_components = len(centers)
    points, channels, _, n_bytes = _tile(
        _n_points(x), x.shape[1], n_components, n_components, centers.dtype)
    n_rows = min(_BLOCKS, max(1, _divide_up(_n_points(x), points)))
    partial = _empty_sums(x, n_rows, n_components)
    launch('mixture', name, x.dtype, (n_rows,), n_bytes,
           _points(x) + arguments
           + (_int(points), _int(channels), partial))
    return _moments(x, n_rows, partial, n_components, centers,
                    regularization, log_density)


def orientation(x):
    """Computes a point ``(C,)`` amid the data, in the working dtype.

    Args:
        x (cupy.ndarray): Stack ``(B, C, L)``.

    Returns:
        cupy.ndarray: ``(C,)``, the median of a few points.

    """
    n_dims = x.shape[1]
    origin = get_array_module(x).zeros((n_dims,), working_dtype(x.dtype))
    if _n_points(x) > 0:
        launch('normalization', 'mixnorm_orientation', x.dtype,
               (_divide_up(n_dims, _THREADS),), 0,
               _points(x)[:-1]
               + (_int(min(_ORIENTATION_POINTS, _n_points(x))), origin))
    return origin


def prepared(x, origin):
    """Returns the stack itself: kernels need nothing but the points.

    Args:
        x (cupy.ndarray): Stack ``(B, C, L)``.
        origin (cupy.ndarray): ``(C,)``, a point amid them.

    Returns:
        cupy.ndarray: ``x``.

    """
    return x


def standardized_sample(x, indices):
    """Gathers points, relative to their mean and in units of deviations.

    Args:
        x (cupy.ndarray): Stack ``(B, C, L)``.
        indices (cupy.ndarray): Numbers ``(m,)`` of the points, int64,
            ascending; ``None`` for all.

    Returns:
        tuple of cupy.ndarray: The points ``(1, C, m)`` in the working dtype,
        each channel's side by side; and location and scale ``(C,)``.  A
        dimension without variation, or whose variance the dtype could not
        hold, has the scale 1.

    """
    xp = get_array_module(x)
    dtype = working_dtype(x.dtype)
    n_dims = x.shape[1]
    n_points = _n_points(x) if indices is None else len(indices)
    points, channels, _, n_bytes = _tile(n_points, n_dims, 1, 0, dtype)
    n_rows = min(_BLOCKS, _divide_up(n_points, points))
    z = xp.empty((1, n_dims, n_points), dtype)
    first_point = xp.empty((1, n_dims), dtype)
    partial = _empty_sums(x, n_rows, 1)
    stack_arguments = list(_points(x))
    stack_arguments[5] = _index(n_points)
    launch('sample', 'mixnorm_gather', x.dtype, (n_rows,), n_bytes,
           tuple(stack_arguments)
           + (contiguous(indices, numpy.int64), _int(points),
              _int(channels), z, first_point, partial))
    _, location, variance = _moments(z, n_rows, partial, 1, first_point, 0)
    location = location[0]
    scale = xp.empty((n_dims,), dtype)
    launch('sample', 'mixnorm_standardize', dtype,
           (n_dims, min(_BLOCKS, _divide_up(n_points, 4 * _THREADS))), 0,
           (z, _index(n_points), location, variance,
            dtype.type(1e4 * math.sqrt(numpy.finfo(dtype).tiny)), scale))
    return z, location, scale


def seed(x, n_clusters, draws):
    """Chooses centres among the points by K-means++ with local trials.

    Args:
        x (cupy.ndarray): Stack ``(B, C, L)``.
        n_clusters (int): Number of centres ``K``, at most 16.
        draws (numpy.ndarray): Uniform numbers in [0, 1), of shape
            ``(1 + (K - 1) * n_trials,)``.

    Returns:
        tuple of cupy.ndarray: Centres ``(K, C)`` in the working dtype and the
        numbers ``(K,)`` of the points they are.

    Raises:
        ValueError: If there are more centres than the kernels can have.

    """
    _check_components(n_clusters)
    xp = get_array_module(x)
    dtype = working_dtype(x.dtype)
    n_points, n_dims = _n_points(x), x.shape[1]
    first = min(int(draws[0] * n_points), n_points - 1)
    if n_clusters == 1:
        b, i = divmod(first, x.shape[2])
        return (x[b:b + 1, :, i].astype(dtype),
                xp.full((1,), first, numpy.int64))

    n_trials = (len(draws) - 1) // (n_clusters - 1)
    points, channels, columns, n_bytes = _tile(
        n_points, n_dims, min(n_trials, _MAX_COMPONENTS), 0, dtype)
    n_tiles = _divide_up(n_points, points)
    block_points = _divide_up(n_tiles, min(n_tiles, _BLOCKS)) * points
    n_blocks = _divide_up(n_points, block_points)
    draws = xp.asarray(draws[1:], dtype=numpy.float64)
    candidates = xp.empty((n_trials,), numpy.int64)
    chosen = xp.empty((1,), numpy.int32)
    finished = xp.zeros((n_clusters,), numpy.uint32)
    remaining = xp.empty((n_trials, n_points), dtype)
    block_sums = xp.empty((n_trials, n_blocks), numpy.float64)
    centers = xp.empty((n_clusters, n_dims), dtype)
    indices = xp.empty((n_clusters,), numpy.int64)
    for i in range(n_clusters):
        is_last = i == n_clusters - 1
        launch('seeding', 'mixnorm_seed', x.dtype, (n_blocks,), n_bytes,
               _points(x)
               + (_int(i), _index(first), _int(n_trials if i > 0 else 1),
                  draws[i * n_trials:], _int(0 if is_last else n_trials),
                  _int(points), _int(channels), _int(columns),
                  _index(block_points), candidates, chosen, finished[i:],
                  remaining, block_sums, centers, indices))
    return centers, indices


def seeded_lloyd_step(x, n_clusters, draws):
    """Chooses centres by K-means++ and runs the first of Lloyd's iterations.

    Args:
        x (cupy.ndarray): Stack ``(B, C, L)``.
        n_clusters (int): Number of centres ``K``, at most 16.
        draws (numpy.ndarray): See :func:`seed`.

    Returns:
        Parameters: See :func:`lloyd_step`.

    Raises:
        ValueError: If there are more centres than the kernels can have.

    """
    centers, _ = seed(x, n_clusters, draws)
    return lloyd_step(x, centers)


def lloyd_step(x, centers):
    """Runs one of Lloyd's iterations.

    Args:
        x (cupy.ndarray): Stack ``(B, C, L)``.
        centers (cupy.ndarray): ``(K, C)``.

    Returns:
        Parameters: Shares, means and variances of the clusters of the points
        nearest to each centre, the first of equals.  A centre without points
        stays, with weight and variance 0.

    Raises:
        ValueError: If there are more centres than the kernels can have.

    """
    _check_components(len(centers))
    centers = contiguous(centers, working_dtype(x.dtype))
    return _mixture_pass(x, 'mixnorm_lloyd_step', centers,
                         (centers, _int(len(centers))))


def em_step(x, parameters, reg_covar):
    """Runs one iteration of EM.

    Args:
        x (cupy.ndarray): Stack ``(B, C, L)``.
        parameters (Parameters): The mixture to start from.
        reg_covar (float): Added to variances.

    Returns:
        tuple: The new mixture, and the mean log density of the points under
        the one given, float64 without axes.

    Raises:
        ValueError: If there are more components than the kernels can have.

    """
    lower_bound = get_array_module(x).empty((), numpy.float64)
    new = _expectation(x, parameters, NULL, reg_covar, lower_bound)
    return new, lower_bound


def posterior_and_statistics(x, parameters):
    """Computes the posterior, eq. (31), and the moments under it, (35, 36).

    Args:
        x (cupy.ndarray): Stack ``(B, C, L)``.
        parameters (Parameters): The mixture.

    Returns:
        tuple: Posterior ``(B, K, L)``; and its mean, the means and the
        variances of the points under it.

    Raises:
        ValueError: If there are more components than the kernels can have.

    """
    tau = get_array_module(x).empty(
        (x.shape[0], len(parameters[0]), x.shape[2]), working_dtype(x.dtype))
    return tau, _expectation(x, parameters, tau, 0, NULL)


def _expectation(x, parameters, tau, regularization, log_density):
    _check_components(len(parameters[0]))
    weights, means, variances = (
        contiguous(z, working_dtype(x.dtype)) for z in parameters)
    return _mixture_pass(
        x, 'mixnorm_em_step', means,
        (weights, means, variances, _int(len(weights)), tau),
        regularization, log_density)


def posterior(x, weights, means, variances):
    """Computes the posteriors of points under each of several mixtures.

    Args:
        x (cupy.ndarray): Stack ``(B, C, L)``.
        weights (cupy.ndarray): ``(T, K)``.
        means (cupy.ndarray): ``(T, K, C)``.
        variances (cupy.ndarray): ``(T, K, C)``.

    Returns:
        tuple of cupy.ndarray: Posteriors ``(B, T * K, L)`` and log densities
        ``(T, B, L)``.

    Raises:
        ValueError: If there are more components than the kernels can have.

    """
    xp = get_array_module(x)
    dtype = working_dtype(x.dtype)
    n_mixtures, n_components = weights.shape
    _check_components(n_components)
    n_batch, n_dims, length = x.shape
    tau = xp.empty((n_batch, n_mixtures * n_components, length), dtype)
    log_density = xp.empty((n_mixtures, n_batch, length), dtype)
    at_a_time = min(n_mixtures, _MAX_COMPONENTS // n_components)
    points, channels, _, n_bytes = _tile(
        _n_points(x), n_dims, at_a_time * n_components,
        n_mixtures * n_components, dtype)
    if tau.size > 0:
        launch('mixture', 'mixnorm_posterior', x.dtype,
               (min(_BLOCKS, _divide_up(_n_points(x), points)),), n_bytes,
               _points(x)
               + tuple(contiguous(z, dtype)
                       for z in (weights, means, variances))
               + (_int(n_mixtures), _int(n_components), _int(at_a_time),
                  _int(points), _int(channels), tau, log_density))
    return tau, log_density


def statistics(x, tau):
    """Computes the moments of points under a posterior, eqs. (35, 36).

    Args:
        x (cupy.ndarray): Stack ``(B, C, L)``.
        tau (cupy.ndarray): Posterior ``(B, K, L)`` in the working dtype.

    Returns:
        Parameters: The posterior's mean, the points' means and variances.

    Raises:
        ValueError: If there are more components than the kernels can have.

    """
    n_components = tau.shape[1]
    _check_components(n_components)
    # The first pass finds the means, which the second takes deviations from.
    centers = get_array_module(x).repeat(
        orientation(x)[None], n_components, axis=0)
    for _ in range(2):
        found = _mixture_pass(
            x, 'mixnorm_statistics', centers,
            (centers, _int(n_components), tau) + element_strides(tau))
        centers = found.means
    return found


def _combined_grid(x):
    return (_divide_up(_n_points(x), _TILE_POINTS),
            _divide_up(x.shape[1], _TILE_CHANNELS))


def affine(x, tau, slope, offset, origin, shift):
    """Computes ``(x - origin) * (tau slope) + tau offset + shift``.

    Args:
        x (cupy.ndarray): Stack ``(B, C, L)``.
        tau (cupy.ndarray): Coefficients ``(B, J, L)`` in the working dtype.
        slope (cupy.ndarray): ``(J, C)``.
        offset (cupy.ndarray): ``(J, C)``.
        origin (cupy.ndarray or None): ``(C,)``.
        shift (cupy.ndarray or None): ``(C,)``.

    Returns:
        cupy.ndarray: ``(B, C, L)`` in ``x``'s dtype and order in memory.

    """
    dtype = tau.dtype
    y = empty_in_order_of(x)
    if y.size > 0:
        launch('normalization', 'mixnorm_affine', x.dtype, _combined_grid(x),
               0, _points(x) + (tau,) + element_strides(tau)
               + (_int(tau.shape[1]),)
               + tuple(contiguous(z, dtype)
                       for z in (slope, offset, origin, shift))
               + (y,) + element_strides(y))
    return y


def gradient_sums(x, gy, tau, origin):
    """Computes what the gradients of means and variances are made of.

    Args:
        x (cupy.ndarray): Stack ``(B, C, L)``.
        gy (cupy.ndarray): Gradient of the output, ``(B, C, L)``, in ``x``'s
            dtype.
        tau (cupy.ndarray): Coefficients ``(B, J, L)`` in the working dtype.
        origin (cupy.ndarray or None): ``(C,)``.

    Returns:
        tuple of cupy.ndarray: ``sum_i tau_ij gy_i`` and
        ``sum_i tau_ij gy_i (x_i - origin)``, ``(J, C)``, and ``sum_i gy_i``,
        ``(C,)``; float64.

    """
    xp = get_array_module(x)
    dtype = tau.dtype
    n_points, n_dims, n_columns = _n_points(x), x.shape[1], tau.shape[1]
    n_sums = (2 * n_columns + 1) * n_dims
    sums = xp.zeros((2 * n_columns + 1, n_dims), numpy.float64)
    if n_points > 0:
        points = 512 // dtype.itemsize
        n_quads = 1 if n_columns <= _QUAD else 2
        n_chunks = _divide_up(n_dims, _TILE_CHANNELS)
        n_rows = min(max(1, _BLOCKS // n_chunks),
                     _divide_up(n_points, points))
        n_bytes = (2 * _TILE_CHANNELS * (points + 1) * dtype.itemsize
                   + points * n_quads * _QUAD * dtype.itemsize
                   + 2 * points * 8 + _THREADS * 8)
        partial = xp.empty((n_rows, n_sums), numpy.float64)
        launch('normalization', 'mixnorm_gradient_sums', x.dtype,
               (n_rows, n_chunks, _divide_up(n_columns, n_quads * _QUAD)),
               n_bytes,
               _points(x) + (gy,) + element_strides(gy)
               + (_int(channels_fast(gy)),) + (tau,) + element_strides(tau)
               + (_int(n_columns), contiguous(origin, dtype), _int(n_quads),
                  _int(points), partial))
        launch('normalization', 'mixnorm_sum_rows', x.dtype,
               (_divide_up(n_sums, _WARP),), 0,
               (partial, _index(n_rows), _index(n_sums), sums))
    return sums[:n_columns], sums[n_columns:-1], sums[-1]


def gradient_input(x, gy, tau, slope, quadratic, offset, origin):
    """Computes ``gy * (tau slope) + (x - origin) * (tau quadratic) + tau \
offset``.

    Args:
        x (cupy.ndarray): Stack ``(B, C, L)``.
        gy (cupy.ndarray): Gradient of the output, ``(B, C, L)``, in ``x``'s
            dtype.
        tau (cupy.ndarray): Coefficients ``(B, J, L)`` in the working dtype.
        slope (cupy.ndarray): ``(J, C)``.
        quadratic (cupy.ndarray or None): ``(J, C)``; ``None`` for 0, and
            then ``offset`` is 0 as well.
        offset (cupy.ndarray or None): ``(J, C)``.
        origin (cupy.ndarray or None): ``(C,)``.

    Returns:
        cupy.ndarray: ``(B, C, L)`` in ``x``'s dtype and order in memory.

    """
    dtype = tau.dtype
    gx = empty_in_order_of(x)
    if gx.size > 0:
        launch('normalization', 'mixnorm_gradient_input', x.dtype,
               _combined_grid(x), 0,
               _points(x) + (gy,) + element_strides(gy)
               + (tau,) + element_strides(tau) + (_int(tau.shape[1]),)
               + tuple(contiguous(z, dtype)
                       for z in (slope, offset, quadratic, origin))
               + (gx,) + element_strides(gx))
    return gx


def finish(parameters, min_weight, location, scale):
    """Completes a fit to a standardized sample.

    Args:
        parameters (Parameters): The mixture.
        min_weight (float): Components of smaller weight are dropped: their
            weight becomes 0.  The heaviest is kept whatever it weighs.
        location (cupy.ndarray or None): ``(C,)``, what was subtracted.
        scale (cupy.ndarray or None): ``(C,)``, what was divided by.

    Returns:
        Parameters: The mixture in original units.

    """
    dtype = parameters[1].dtype
    n_components, n_dims = parameters[1].shape
    _check_components(n_components)
    old = tuple(contiguous(z, dtype) for z in parameters)
    new = Parameters(*map(get_array_module(old[0]).empty_like, old))
    launch('mixture', 'mixnorm_finish', dtype,
           (_divide_up(n_dims, _THREADS),), 0,
           old + (_int(n_components), _int(n_dims),
                  numpy.float64(min_weight), contiguous(location, dtype),
                  contiguous(scale, dtype)) + new)
    return new


def count_not_finite(x):
    """Counts values that are not a number or infinite.

    Args:
        x (cupy.ndarray): Stack ``(B, C, L)``.

    Returns:
        cupy.ndarray: Their number, without axes.

    """
    return x.size - get_array_module(x).isfinite(x).sum()
