"""Mode normalization and mode group normalization in test mode."""
import numpy

from chainer import get_device

from mixnorm.exporting.graph import converter


@converter
def gated_fixed_mode_normalization(graph, node, x, gate_W, gate_b, gamma,
                                   beta):
    """Converts ``GatedFixedModeNormalization``, eqs. (2) and (4)."""
    z, origin = _points(graph, node, x)
    W = _without_common_part(graph, gate_W)
    b = graph.op('Add', gate_b, graph.op('MatMul', W, origin))
    means = graph.op(
        'Reshape', graph.mean(z, 2), [0, graph.shape[1]])
    scores = graph.op('Gemm', means, W, b, transB=1)
    gates = graph.op('Softmax', scores, axis=1)
    return _sum_over_modes(graph, node, z, origin, gates, gamma, beta)


@converter
def fixed_mode_normalization(graph, node, x, gates, gamma, beta):
    """Converts ``FixedModeNormalization``."""
    z, origin = _points(graph, node, x)
    return _sum_over_modes(graph, node, z, origin, gates, gamma, beta)


def _points(graph, node, x):
    """Returns ``x`` relative to the mean of the modes, and that mean."""
    origin = _moments(node)[0].mean(axis=0).astype(graph.dtype)
    return graph.op('Sub', graph.rows(x), origin[:, None]), origin


def _moments(node):
    return [get_device('@numpy').send(z).astype(numpy.float64)
            for z in (node.mean, node.sqmean)]


def _sum_over_modes(graph, node, z, origin, gates, gamma, beta):
    mean, sqmean = _moments(node)
    factor = 1 / numpy.sqrt(
        numpy.maximum(sqmean - mean * mean, 0) + node.eps)
    shift = factor * (mean - origin)
    if len(node.inputs[-1].shape) == 1:
        # Gamma and beta act on the sum.
        y = _affine(graph, z, graph.op('MatMul', gates, factor),
                    graph.op('MatMul', gates, -shift))
        y = _affine_by_channel(graph, y, gamma, beta)
    else:
        y = _affine(
            graph, z,
            graph.op('MatMul', gates, graph.op('Mul', gamma, factor)),
            graph.op('MatMul', gates, graph.op(
                'Sub', beta, graph.op('Mul', gamma, shift))))
    return graph.restore(y)


@converter
def gated_mode_group_normalization(graph, node, x, gate_W, gate_b, gamma,
                                   beta):
    """Converts ``GatedModeGroupNormalization``, eq. (5)."""
    x = graph.rows(x)
    means = graph.mean(x, 2)
    scores = graph.op('Add', graph.op(
        'Mul', means, _without_common_part(graph, gate_W)), gate_b)
    # Divided by its sum over channels, a gate is a softmax over these: it is
    # there however small the gate is.
    shares = graph.op('Softmax', graph.op(
        'Transpose', graph.op('LogSoftmax', scores, axis=2),
        perm=[0, 2, 1]), axis=2)
    return _mean_over_modes(graph, node, x, means, shares, gamma, beta)


@converter
def mode_group_normalization(graph, node, x, gates, gamma, beta):
    """Converts ``ModeGroupNormalization``."""
    x = graph.rows(x)
    gates = graph.op('Transpose', gates, perm=[0, 2, 1])
    shares = graph.op('Div', gates, graph.op(
        'Max', graph.reduce('Sum', gates, 2),
        float(numpy.finfo(graph.dtype).tiny)))
    return _mean_over_modes(
        graph, node, x, graph.mean(x, 2), shares, gamma, beta)


def _mean_over_modes(graph, node, x, means, shares, gamma, beta):
    """Computes eq. (5).

    Args:
        graph (Graph): Where it is written to.
        node (ModeGroupNormalization): The function.
        x (str): ``(N, C, L)``.
        means (str): Means over positions, ``(N, C, 1)``.
        shares (str): Each channel's share of a mode, ``(N, K, C)``, with the
            sum 1 over channels, or 0.
        gamma (str): ``(C,)`` or ``(K, C)``.
        beta (str): As ``gamma``.

    """
    origin = graph.mean(means, 1)
    z = graph.op('Sub', x, origin)
    means = graph.op('Sub', means, origin)
    variances = graph.mean(graph.square(graph.op('Sub', z, means)), 2)
    # Means of modes (N, K, 1), and their variances: those of channels' means
    # around them, and those over positions.
    mode_means = graph.op('MatMul', shares, means)
    between = graph.square(graph.op('Sub', graph.op(
        'Transpose', means, perm=[0, 2, 1]), mode_means))
    squares = graph.op('Mul', shares, graph.op('Add', between, graph.op(
        'Transpose', variances, perm=[0, 2, 1])))
    mode_variances = graph.reduce('Sum', squares, 2)
    factor = graph.standardize(1., mode_variances, node.eps)
    shift = graph.op('Mul', factor, mode_means)
    if len(node.inputs[-1].shape) == 1:
        slope, intercept = (
            graph.mean(of_mode, 1) for of_mode in (factor, shift))
        y = graph.op('Sub', graph.op('Mul', z, slope), intercept)
        y = _affine_by_channel(graph, y, gamma, beta)
    else:
        y = _affine(graph, z, graph.mean(
            graph.op('Mul', gamma, factor), 1), graph.mean(graph.op(
                'Sub', beta, graph.op('Mul', gamma, shift)), 1))
    return graph.restore(y)


def _without_common_part(graph, W):
    """Subtracts from gates' weights what they have in common.

    A softmax does not see it, but digits are lost to it.

    """
    return graph.op('Sub', W, graph.mean(W, 0))


def _affine(graph, z, slope, intercept):
    """Maps ``(N, C, L)`` by coefficients of ``N * C`` values."""
    shape = [0, graph.shape[1], 1]
    return graph.op(
        'Add', graph.op('Mul', z, graph.op('Reshape', slope, shape)),
        graph.op('Reshape', intercept, shape))


def _affine_by_channel(graph, y, gamma, beta):
    """Maps ``(N, C, L)`` by coefficients ``(C,)``."""
    return graph.op('Add', graph.op('Mul', y, graph.op(
        'Reshape', gamma, [-1, 1])), graph.op('Reshape', beta, [-1, 1]))
