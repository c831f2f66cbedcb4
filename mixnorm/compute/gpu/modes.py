"""What mode normalization computes between its passes over rows."""
import numpy

from mixnorm.compute.gpu import launcher
from mixnorm.compute.gpu.constants import MODE_CHANNELS, THREADS, WARP
from mixnorm.compute.gpu.points import contiguous, divide_up, NULL
from mixnorm.compute.layout import get_array_module
from mixnorm.compute.row_coefficients import RowCoefficients

# Thread blocks that share the running averages, at most.
_AVERAGES_BLOCKS = 16

# Matrices that the kernels keep of the modes, and of their gradients.
_KEPT, _KEPT_GRADIENTS = 5, 3


@launcher.on_device
def of_samples(means, variances, gating, gamma, beta, eps, statistics=None):
    """Computes the rows' coefficients by modes that samples belong to."""
    xp = get_array_module(means)
    dtype = means.dtype
    n_samples, n_dims = means.shape
    by_sample = divide_up(n_samples, THREADS // WARP),
    by_channel = max(1, divide_up(n_dims, MODE_CHANNELS)),
    weight = NULL
    if len(gating) == 1:
        gates = contiguous(gating[0], numpy.float64)
    else:
        weight, bias = (contiguous(z, dtype) for z in gating)
        gates = xp.empty((n_samples, len(weight)), numpy.float64)
        _launch('mixnorm_sample_gates', dtype, by_sample, (
            means, *_sizes(means, len(weight)), weight, bias, gates))
    n_modes = gates.shape[1]
    sizes = _sizes(means, n_modes)
    gamma, beta = contiguous(gamma, dtype), contiguous(beta, dtype)
    per_mode = numpy.int32(gamma.ndim == 2)
    eps = numpy.float64(eps)
    is_fixed = statistics is not None
    if is_fixed:
        variances = NULL
        statistics = [contiguous(z, numpy.float64) for z in statistics]
    else:
        statistics = [
            xp.empty((n_modes, n_dims), numpy.float64) for _ in range(2)]
    slope, offset = (xp.empty(means.shape, dtype) for _ in range(2))
    origin = xp.empty((n_dims,), numpy.float64)
    kept = xp.empty((_KEPT, n_modes, n_dims), numpy.float64)
    _launch('mixnorm_sample_modes', dtype, by_channel, (
        means, variances, gates, *sizes, eps, gamma, beta, per_mode,
        numpy.int32(is_fixed), *statistics, origin, kept, slope, offset))

    @launcher.on_device
    def gradients(sum_gx, sum_g, length):
        gkept = xp.empty((_KEPT_GRADIENTS, n_modes, n_dims), numpy.float64)
        ggamma, gbeta = (xp.empty(gamma.shape, dtype) for _ in range(2))
        ggates = xp.empty(gates.shape, numpy.float64)
        _launch('mixnorm_sample_mode_sums', dtype, by_channel, (
            sum_gx, sum_g, means, gates, *sizes, eps, per_mode, origin, kept,
            gkept, ggamma, gbeta))
        _launch('mixnorm_sample_gate_gradients', dtype, by_sample, (
            sum_gx, sum_g, means, variances, gates, *sizes,
            numpy.int32(weight is not NULL), origin, kept, gkept, ggates))
        quadratic = None if is_fixed else xp.empty(means.shape, dtype)
        linear = xp.empty(means.shape, dtype)
        gweight = gbias = NULL
        ggating = [ggates]
        if weight is not NULL:
            gweight, gbias = ggating = [
                xp.empty(shape, dtype) for shape in (
                    weight.shape, weight.shape[:1])]
        _launch('mixnorm_sample_row_gradients', dtype, by_channel, (
            means, gates, ggates, *sizes, numpy.float64(length), weight,
            origin, gkept, NULL if quadratic is None else quadratic, linear,
            gweight, gbias))
        return quadratic, linear, [*ggating, ggamma, gbeta]

    return RowCoefficients(
        slope, offset, origin, gradients, gates, statistics)


@launcher.on_device
def of_channels(means, variances, gating, gamma, beta, eps):
    """Computes the rows' coefficients by modes that each sample's channels \
belong to."""
    xp = get_array_module(means)
    dtype = means.dtype
    n_samples, n_dims = means.shape
    weight = bias = NULL
    if len(gating) == 1:
        gates = contiguous(gating[0].transpose(0, 2, 1), numpy.float64)
    else:
        weight, bias = (contiguous(z, dtype) for z in gating)
        gates = xp.empty((n_samples, len(weight), n_dims), numpy.float64)
    n_modes = gates.shape[1]
    sizes = _sizes(means, n_modes)
    gamma, beta = contiguous(gamma, dtype), contiguous(beta, dtype)
    per_mode = numpy.int32(gamma.ndim == 2)
    eps = numpy.float64(eps)
    slope, offset = (xp.empty(means.shape, dtype) for _ in range(2))
    origin = xp.empty((n_samples, 1), numpy.float64)
    kept = xp.empty((_KEPT, n_samples, n_modes), numpy.float64)
    _launch('mixnorm_channel_modes', dtype, (n_samples,), (
        means, variances, *sizes, weight, bias, eps, gamma, beta, per_mode,
        gates, origin, kept, slope, offset))

    @launcher.on_device
    def gradients(sum_gx, sum_g, length):
        gkept = xp.empty((_KEPT_GRADIENTS, n_samples, n_modes), numpy.float64)
        ggamma, gbeta = (xp.empty(gamma.shape, dtype) for _ in range(2))
        ggates = xp.empty(gates.shape, numpy.float64)
        quadratic, linear = (xp.empty(means.shape, dtype) for _ in range(2))
        scores = gweight = gbias = NULL
        ggating = [ggates.transpose(0, 2, 1)]
        if weight is not NULL:
            scores = xp.empty((2, n_samples, n_modes), numpy.float64)
            gweight, gbias = ggating = [
                xp.empty((n_modes,), dtype) for _ in range(2)]
        _launch('mixnorm_channel_mode_gradients', dtype, (n_samples,), (
            sum_gx, sum_g, means, variances, gates, *sizes, weight, eps,
            gamma, per_mode, numpy.float64(length), origin, kept, gkept,
            ggates, scores, quadratic, linear))
        _launch('mixnorm_channel_parameter_gradients', dtype,
                (max(1, divide_up(n_dims, MODE_CHANNELS)),), (
                    sum_gx, sum_g, means, *sizes, per_mode, origin, kept,
                    scores, ggamma, gbeta, gweight, gbias))
        return quadratic, linear, [*ggating, ggamma, gbeta]

    return RowCoefficients(
        slope, offset, origin, gradients, gates.transpose(0, 2, 1))


@launcher.on_device
def averages(old, found, decay):
    """Computes running averages of the modes' statistics."""
    shape, size = old[0].shape, old[0].size
    xp = get_array_module(old[0])
    new = [xp.empty(shape, numpy.float64) for _ in range(2)]
    is_finite = xp.empty((), numpy.bool_)
    launcher.launch(
        'modes', 'mixnorm_mode_averages', numpy.dtype(numpy.float64),
        (max(1, min(_AVERAGES_BLOCKS, divide_up(size, THREADS))),), 0,
        (*(contiguous(z, numpy.float64) for z in (*old, *found)),
         numpy.int64(size), numpy.float64(decay), *new, is_finite))
    return new, is_finite


def _sizes(means, n_modes):
    n_samples, n_dims = means.shape
    return (numpy.int64(n_samples), numpy.int32(n_dims),
            numpy.int32(n_modes))


def _launch(name, dtype, grid, arguments):
    if grid[0] > 0:
        launcher.launch('modes', name, dtype, grid, 0, arguments)
