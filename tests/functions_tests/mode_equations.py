"""Mode normalization's equations, written out one mode at a time.

The oracle of these tests and of the links'.  In Chainer's functions and
float64, so that gradients of any order come from Chainer.  Numbers are those
of Deecke, Murray & Bilen's paper.  Nothing here comes from mixnorm.
"""
import chainer
import chainer.functions as F
import numpy


def double(*arrays):
    """Variables of float64."""
    return [chainer.Variable(numpy.asarray(z, numpy.float64))
            for z in arrays]


def _spread(z, axis, shape):
    """Puts a variable's axes from ``axis`` on into those of ``shape``."""
    shape_of_z = (1,) * axis + z.shape + (1,) * (
        len(shape) - axis - z.ndim)
    return F.broadcast_to(F.reshape(z, shape_of_z), shape)


def _of_mode(parameter, k):
    return parameter[k] if parameter.ndim == 2 else parameter


def moments(x, gates):
    """``<x>_k`` and ``<(x - mu_k)^2>_k`` of section 3, lists of ``(C,)``."""
    means, variances = [], []
    axes = (0,) + tuple(range(2, x.ndim))
    length = numpy.prod(x.shape[2:], dtype=int)
    for k in range(gates.shape[1]):
        weight = _spread(gates[:, k], 0, x.shape)
        count = F.sum(gates[:, k]) * length
        means.append(F.sum(weight * x, axis=axes) / F.broadcast_to(
            count, (x.shape[1],)))
        deviation = x - _spread(means[k], 1, x.shape)
        variances.append(
            F.sum(weight * deviation ** 2, axis=axes) / F.broadcast_to(
                count, (x.shape[1],)))
    return means, variances


def fixed_mode_normalization(x, gates, gamma, beta, means, variances, eps):
    """(2) under given moments."""
    y = 0
    for k in range(gates.shape[1]):
        term = (x - _spread(means[k], 1, x.shape)) / _spread(
            F.sqrt(variances[k] + eps), 1, x.shape)
        if gamma.ndim == 2:
            term = _spread(gamma[k], 1, x.shape) * term + _spread(
                beta[k], 1, x.shape)
        y += _spread(gates[:, k], 0, x.shape) * term
    if gamma.ndim == 1:
        y = _spread(gamma, 1, x.shape) * y + _spread(beta, 1, x.shape)
    return y


def mode_normalization(x, gates, gamma, beta, eps):
    """(2) with the batch's moments."""
    return fixed_mode_normalization(
        x, gates, gamma, beta, *moments(x, gates), eps)


def mode_group_normalization(x, gates, gamma, beta, eps):
    """(5)."""
    n_modes = gates.shape[2]
    flat = F.reshape(
        x, x.shape[:2] + (numpy.prod(x.shape[2:], dtype=int),))
    y = 0
    for k in range(n_modes):
        weight = gates[:, :, k]
        count = F.sum(weight, axis=1)
        mean = F.sum(weight * F.mean(flat, axis=2), axis=1) / count
        deviation = flat - _spread(mean, 0, flat.shape)
        variance = F.sum(
            weight * F.mean(deviation ** 2, axis=2), axis=1) / count
        term = F.reshape(deviation / _spread(
            F.sqrt(variance + eps), 0, flat.shape), x.shape)
        y += (_spread(_of_mode(gamma, k), 1, x.shape) * term
              + _spread(_of_mode(beta, k), 1, x.shape)) / n_modes
    return y


def sample_gates(x, gate_W, gate_b):
    """``softmax(W phi(x_n) + b)``, ``(N, K)``."""
    phi = F.mean(F.reshape(
        x, x.shape[:2] + (numpy.prod(x.shape[2:], dtype=int),)), axis=2)
    return F.softmax(F.linear(phi, gate_W, gate_b))


def channel_gates(x, gate_W, gate_b):
    """``softmax(W phi(x_nc) + b)``, ``(N, C, K)``."""
    phi = F.mean(F.reshape(
        x, x.shape[:2] + (numpy.prod(x.shape[2:], dtype=int),)), axis=2)
    shape = phi.shape + gate_W.shape
    return F.softmax(
        _spread(phi, 0, shape) * _spread(gate_W, 2, shape)
        + _spread(gate_b, 2, shape), axis=2)


def derivatives(function, inputs, gy, second):
    """Output, gradients, and gradients of those along ``second``.

    Args:
        function (callable): Takes variables.
        inputs (list of arrays): What it is given.
        gy (array): Gradient of the output.
        second (list of arrays): Gradients of the gradients.

    Returns:
        list of arrays: The output; the gradients of the inputs; and the
        second gradients of the inputs and of ``gy``.

    """
    inputs = [chainer.Variable(z) for z in inputs]
    upstream = chainer.Variable(gy)
    y = function(*inputs)
    first = chainer.grad(
        [y], inputs, [upstream], enable_double_backprop=True)
    again = chainer.grad(
        first, inputs + [upstream], [chainer.Variable(z) for z in second])
    # None is how Chainer says 0.
    return [y.array] + [v.array for v in first] + [
        numpy.zeros(v.shape, v.dtype) if g is None else g.array
        for g, v in zip(again, inputs + [upstream])]
