"""Lloyd's and EM's iterations, posteriors and the moments under them."""
import numpy

from mixnorm.compute.gpu import launcher
from mixnorm.compute.gpu import tile
from mixnorm.compute.gpu.constants import MAX_COMPONENTS, THREADS, WARP
from mixnorm.compute.gpu.points import (
    contiguous, divide_up, element_strides, n_points, NULL, stack_arguments)
from mixnorm.compute.gpu.transform import find_origin
from mixnorm.compute.layout import get_array_module, working_dtype
from mixnorm.compute.parameters import Parameters

# Components of all mixtures that points have posteriors under in one launch,
# at most: each has a number in shared memory.
_POSTERIOR_COLUMNS = 2048


def check_components(n_components):
    """Raises ValueError if there are more than the kernels can have."""
    if n_components > MAX_COMPONENTS:
        raise ValueError(f'n_components is {n_components}: on a GPU it must '
                         f'be at most {MAX_COMPONENTS}')


@launcher.on_device
def lloyd_step(x, centers):
    """Runs one of Lloyd's iterations."""
    check_components(len(centers))
    centers = contiguous(centers, working_dtype(x.dtype))
    return _mixture_pass(x, 'mixnorm_lloyd_step', centers,
                         (centers, numpy.int32(len(centers))))


@launcher.on_device
def em_step(x, parameters, reg_covar):
    """Runs one iteration of EM."""
    log_density = get_array_module(x).empty((), numpy.float64)
    new = _expectation(x, parameters, NULL, reg_covar, log_density)
    return new, log_density


@launcher.on_device
def posterior_and_statistics(x, parameters):
    """Computes the posterior, eq. (31), and the moments under it, (35, 36)."""
    tau = get_array_module(x).empty(
        (x.shape[0], len(parameters[0]), x.shape[2]), working_dtype(x.dtype))
    return tau, _expectation(x, parameters, tau, 0, NULL)


def _expectation(x, parameters, tau, regularization, log_density):
    check_components(len(parameters[0]))
    weights, means, variances = (
        contiguous(z, working_dtype(x.dtype)) for z in parameters)
    return _mixture_pass(
        x, 'mixnorm_em_step', means,
        (weights, means, variances, numpy.int32(len(weights)), tau),
        regularization, log_density)


@launcher.on_device
def em_sums(x, parameters, sample_weight):
    """Sums what an iteration of EM is made of, about the means."""
    n_components, n_dims = parameters.means.shape
    check_components(n_components)
    parameters = Parameters(*(
        contiguous(z, working_dtype(x.dtype)) for z in parameters))
    if sample_weight is None:
        return _total(_partial_sums(
            x, 'mixnorm_em_step', parameters.means,
            (*parameters, numpy.int32(n_components), NULL)),
            n_components, n_dims)
    tau, log_density = posterior(x, *(z[None] for z in parameters))
    # What cannot be is allowed to points that do not count.
    log_density = get_array_module(x).where(
        sample_weight > 0, log_density[0] * sample_weight, 0)
    return (*_weighted_sums(x, tau, parameters.means, sample_weight),
            log_density.sum(dtype=numpy.float64))


@launcher.on_device
def lloyd_sums(x, centers, sample_weight):
    """Sums what one of Lloyd's iterations is made of, about the centres."""
    n_components, n_dims = centers.shape
    check_components(n_components)
    centers = contiguous(centers, working_dtype(x.dtype))
    if sample_weight is None:
        return _total(_partial_sums(
            x, 'mixnorm_lloyd_step', centers,
            (centers, numpy.int32(n_components))), n_components, n_dims)[:3]
    xp = get_array_module(x)
    distances = xp.stack([
        ((x - center[:, None]) ** 2).sum(axis=1) for center in centers])
    nearest = distances.argmin(axis=0)[:, None]
    tau = nearest == xp.arange(n_components)[:, None]
    return _weighted_sums(x, tau, centers, sample_weight)


def _total(partial, n_components, n_dims):
    """Adds up the thread blocks' sums; returns them one by one."""
    totals = partial.sum(axis=0)
    size = n_components * n_dims
    first, second, counts = totals[:size], totals[size:2 * size], totals[
        2 * size:2 * size + n_components]
    return (counts, first.reshape(n_components, n_dims),
            second.reshape(n_components, n_dims), totals[-1])


def _weighted_sums(x, tau, centers, sample_weight):
    """Returns weighted counts and moments, in a pass for each component."""
    xp = get_array_module(x)
    tau = tau * sample_weight[:, None].astype(numpy.float64)
    moments = []
    for k, center in enumerate(centers):
        deviation = x.astype(center.dtype, copy=False) - center[:, None]
        weight = tau[:, k, None]
        moments.append(((weight * deviation).sum(axis=(0, 2)),
                        (weight * deviation * deviation).sum(axis=(0, 2))))
    first, second = map(xp.stack, zip(*moments))
    return tau.sum(axis=(0, 2)), first, second


@launcher.on_device
def posterior(x, weights, means, variances):
    """Computes the posteriors of points under each of several mixtures."""
    xp = get_array_module(x)
    dtype = working_dtype(x.dtype)
    n_mixtures, n_components = weights.shape
    check_components(n_components)
    if n_mixtures * n_components > _POSTERIOR_COLUMNS:
        middle = n_mixtures // 2
        taus, log_densities = zip(*(
            posterior(x, *(z[part] for z in (weights, means, variances)))
            for part in (slice(middle), slice(middle, None))))
        return (xp.concatenate(taus, axis=1),
                xp.concatenate(log_densities, axis=0))
    n_batch, n_dims, length = x.shape
    tau = xp.empty((n_batch, n_mixtures * n_components, length), dtype)
    log_density = xp.empty((n_mixtures, n_batch, length), dtype)
    at_a_time = min(n_mixtures, MAX_COMPONENTS // n_components)
    points, channels, _, n_bytes = tile.choose(
        n_points(x), n_dims, at_a_time * n_components,
        n_mixtures * n_components, dtype)
    if tau.size > 0:
        grid = min(tile.THREAD_BLOCKS, divide_up(n_points(x), points)),
        launcher.launch(
            'mixture', 'mixnorm_posterior', x.dtype, grid, n_bytes,
            (*stack_arguments(x),
             *(contiguous(z, dtype) for z in (weights, means, variances)),
             *map(numpy.int32, (
                 n_mixtures, n_components, at_a_time, points, channels)),
             tau, log_density))
    return tau, log_density


@launcher.on_device
def statistics(x, tau):
    """Computes the moments of points under a posterior, eqs. (35, 36)."""
    n_components = tau.shape[1]
    check_components(n_components)
    # The first pass finds the means, which the second takes deviations from.
    centers = get_array_module(x).repeat(
        find_origin(x)[None], n_components, axis=0)
    for _ in range(2):
        found = _mixture_pass(
            x, 'mixnorm_statistics', centers,
            (centers, numpy.int32(n_components), tau, *element_strides(tau)))
        centers = found.means
    return found


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
    return moments(x, _partial_sums(x, name, centers, arguments), centers,
                   regularization, log_density)


def _partial_sums(x, name, centers, arguments):
    """Runs such a kernel; returns its thread blocks' sums, a row each."""
    n_components = len(centers)
    points, channels, _, n_bytes = tile.choose(
        n_points(x), x.shape[1], n_components, n_components, centers.dtype)
    n_rows = min(
        tile.THREAD_BLOCKS, max(1, divide_up(n_points(x), points)))
    partial = empty_sums(x, n_rows, n_components)
    launcher.launch(
        'mixture', name, x.dtype, (n_rows,), n_bytes,
        (*stack_arguments(x), *arguments, numpy.int32(points),
         numpy.int32(channels), partial))
    return partial


def empty_sums(x, n_rows, n_components):
    """Makes memory for the sums of so many thread blocks, a row each."""
    return get_array_module(x).empty(
        (n_rows, 2 * n_components * x.shape[1] + n_components + 1),
        numpy.float64)


def moments(x, partial, centers, regularization=0, log_density=NULL):
    """Turns the thread blocks' sums into parameters.

    See ``mixnorm_moments``.

    Args:
        x (array): The points that were added up, ``(B, C, L)``.
        partial (array): The sums, of :func:`empty_sums`.
        centers (array): ``(K, C)``, what deviations were taken from.
        regularization (float): Added to variances.
        log_density (array): Where the mean log density goes.

    Returns:
        Parameters: Shares, means and variances.

    """
    xp = get_array_module(partial)
    n_components, n_dims = centers.shape
    dtype = centers.dtype
    parameters = Parameters(
        xp.empty((n_components,), dtype),
        xp.empty((n_components, n_dims), dtype),
        xp.empty((n_components, n_dims), dtype))
    launcher.launch(
        'mixture', 'mixnorm_moments', x.dtype,
        (divide_up(n_dims, WARP), n_components), 0,
        (partial, numpy.int64(len(partial)), numpy.int64(n_points(x)),
         numpy.int32(n_components), numpy.int32(n_dims), centers,
         numpy.float64(regularization), *parameters, log_density))
    return parameters


@launcher.on_device
def discard_and_rescale(parameters, min_weight, location, scale):
    """Drops light components, and returns to the units of the points."""
    dtype = parameters[1].dtype
    n_components, n_dims = parameters[1].shape
    check_components(n_components)
    old = tuple(contiguous(z, dtype) for z in parameters)
    new = Parameters(*map(get_array_module(old[0]).empty_like, old))
    launcher.launch(
        'mixture', 'mixnorm_discard_and_rescale', dtype,
        (divide_up(n_dims, THREADS),), 0,
        (*old, numpy.int32(n_components), numpy.int32(n_dims),
         numpy.float64(min_weight), contiguous(location, dtype),
         contiguous(scale, dtype), *new))
    return new
