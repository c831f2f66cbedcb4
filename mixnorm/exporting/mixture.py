"""Mixture normalization in test mode, by thin products as the library's."""
import numpy

from chainer import get_device

from mixnorm.compute.columns import inverse_deviations, inverse_or_zero
from mixnorm.exporting.graph import converter
from mixnorm.functions.normalization.fixed_mixture_normalization import (
    regularized_variances)


@converter
def fixed_mixture_normalization(graph, node, x, gamma, beta):
    """Converts ``FixedMixtureNormalization``, eqs. (38) and (39)."""
    mixtures = _Mixtures(graph, *node.queue[:3], node.reg_covar)
    factors = get_device('@numpy').send(node.queue[3]).astype(numpy.float64)
    weights = mixtures.weights
    points, z = mixtures.points(x)
    tau = mixtures.posterior(points, z)
    factor = (factors[:, None] * inverse_or_zero(
        numpy, numpy.sqrt(weights))).reshape(-1)
    # Offsets by slopes as they are in the graph: at a component's mean they
    # cancel, however steep the slope is.
    slope = (factor * inverse_deviations(
        weights, mixtures.variances, node.eps).reshape(
            mixtures.means.shape).T).astype(graph.dtype)
    means = mixtures.means.T.astype(graph.dtype)
    if len(node.inputs[1].shape) == 1:
        gamma, beta = (
            graph.op('Reshape', v, [-1, 1]) for v in (gamma, beta))
        y = _sum(graph, z, tau, slope, -slope * means)
        y = graph.op('Add', graph.op('Mul', y, gamma), beta)
    else:
        gamma, beta = (graph.op('Concat', *len(weights) * [
            graph.op('Transpose', v, perm=[1, 0])], axis=1)
            for v in (gamma, beta))
        slope = graph.op('Mul', gamma, slope)
        y = _sum(
            graph, z, tau, slope,
            graph.op('Sub', graph.op('Mul', beta, factor[None]),
                     graph.op('Mul', slope, means)))
    return graph.restore(mixtures.in_rows(y))


@converter
def fixed_posterior(graph, node, x):
    """Converts what ``fixed_posterior`` is traced as."""
    mixtures = _Mixtures(
        graph, node.weights, node.means, node.variances, node.reg_covar)
    tau = mixtures.in_rows(mixtures.posterior(*mixtures.points(x)))
    spatial = graph.shape[2:]
    if len(spatial) == 1:
        return tau
    if not spatial:
        return graph.op('Reshape', tau, [0, node.weights.size])
    # Lengths of spatial axes are those of when the graph is run.
    lengths = graph.op('Gather', graph.op('Shape', x), numpy.arange(
        2, len(graph.shape)), axis=0)
    return graph.op('Reshape', tau, graph.op(
        'Concat', numpy.array([0, node.weights.size]), lengths, axis=0))


def _sum(graph, z, tau, slope, offset):
    """Adds ``z tau slope + tau offset`` of all columns ``(C, J)``."""
    return graph.op(
        'Add', graph.op('Mul', z, graph.op('MatMul', slope, tau)),
        graph.op('MatMul', offset, tau))


class _Mixtures:

    """The mixtures of a queue, around an origin amid their means.

    Points are ``(B, C, L)``, as :func:`mixnorm.compute.layout.stack` has
    them.

    Args:
        graph (Graph): Where it is written to.
        weights (numpy.ndarray): ``(T, K)``.
        means (numpy.ndarray): ``(T, K, C)``.
        variances (numpy.ndarray): ``(T, K, C)``.
        reg_covar (float): See :func:`regularized_variances`.

    Attributes:
        weights (numpy.ndarray): ``(T, K)``, float64.
        means (numpy.ndarray): ``(J, C)``, relative to the origin.
        variances (numpy.ndarray): ``(T, K, C)``, float64.

    """

    def __init__(self, graph, weights, means, variances, reg_covar):
        weights, means, variances = (
            get_device('@numpy').send(z).astype(graph.dtype, copy=False)
            for z in (weights, means, variances))
        self._graph = graph
        self._regularized = regularized_variances(
            weights, means, variances, reg_covar).reshape(
                -1, means.shape[2]).astype(numpy.float64)
        self._means = means.reshape(-1, means.shape[2])
        self.weights, self.variances = (
            z.astype(numpy.float64) for z in (weights, variances))
        self._present = (self.weights > 0).reshape(-1, 1)
        share = self.weights[..., None]
        origin = numpy.where(share > 0, share * means, 0).sum(
            axis=(0, 1)) / len(means)
        # As it is in the graph, and so are differences from it.
        self._origin = origin.astype(graph.dtype)
        self.means = numpy.where(
            self._present, self._means - self._origin, 0).astype(numpy.float64)

    def points(self, x):
        """Returns the points, and relative to the origin."""
        graph = self._graph
        points = graph.rows(x)
        if len(graph.shape) == 2:
            # One product of all points, not one for each.
            points = graph.op('Transpose', points, perm=[2, 1, 0])
        return points, graph.op('Sub', points, self._origin[:, None])

    def in_rows(self, y):
        """Returns to the order of :meth:`Graph.rows`."""
        if len(self._graph.shape) == 2:
            y = self._graph.op('Transpose', y, perm=[2, 1, 0])
        return y

    def posterior(self, points, z):
        """Computes the posteriors of points, eq. (31): ``(B, J, L)``."""
        graph = self._graph
        tau = graph.softmax(graph.op(
            'Reshape', self._log_joint(points, z),
            [0, *self.weights.shape, -1]), 2)
        return graph.op('Reshape', tau, [0, self.weights.size, -1])

    def _log_joint(self, points, z):
        """Computes ``log(lambda_j N_j(z))``, ``(B, J, L)``.

        The square ``(z - m)^2 / 2 s^2`` is expanded, for one product of all
        components.  Where this would take more than half of the digits, as of
        narrow components far from the origin, it is computed as it stands,
        and of the points as they are.

        """
        graph, limits = self._graph, numpy.finfo(self._graph.dtype)
        # What does not tell components apart is infinitely wide; an absent
        # component has whatever moments.
        tells = numpy.isfinite(self._regularized) & self._present
        variances = numpy.where(tells, self._regularized, 1)
        precisions = tells / variances
        constants = numpy.log(numpy.where(
            self._present, self.weights.reshape(-1, 1), 1))
        constants -= .5 * (numpy.log(variances).sum(axis=1, keepdims=True))
        linear = self.means * precisions
        squares = (self.means * linear).sum(axis=1, keepdims=True)
        narrow = squares >= limits.eps ** -.5
        joint = graph.op(
            'Add',
            graph.op('MatMul', numpy.where(narrow, 0, -.5 * precisions),
                     self._finite_square(z)),
            graph.op('MatMul', numpy.where(narrow, 0, linear), z))
        for j in numpy.flatnonzero(narrow):
            deviation = graph.op('Sub', points, self._means[j, :, None])
            joint = graph.op('Add', joint, graph.op(
                'MatMul', numpy.eye(len(narrow))[:, j, None],
                graph.op('MatMul', -.5 * precisions[j, None],
                         self._finite_square(deviation))))
        # Where all are beyond what the dtype can tell, those that are present
        # are alike, and those that are absent remain so.
        constants -= .5 * numpy.where(narrow, 0, squares)
        joint = graph.op('Add', joint, numpy.where(
            self._present, constants, limits.min))
        return graph.op('Max', joint, numpy.where(
            self._present, limits.min / 2, limits.min))

    def _finite_square(self, z):
        """Squares; what overflows would be undefined times a precision of 0.
        """
        return self._graph.op(
            'Min', self._graph.square(z),
            float(numpy.finfo(self._graph.dtype).max))
