"""Mixture normalization's equations, written out in float64.

The oracle of these tests and of the links'.  It takes the points ``x_i`` one
row each, the components one at a time, and every sum as it stands in Kalayeh
& Shah's paper; numbers are the paper's.  Nothing here comes from mixnorm.
"""
import numpy


def points(x):
    """Rows ``(M, C)`` of an activation ``(N, C, *S)``."""
    x = numpy.moveaxis(numpy.asarray(x, numpy.float64), 1, -1)
    return x.reshape(-1, x.shape[-1])


def activation(rows, shape):
    """The activation of ``shape`` ``(N, C, *S)`` whose rows these are."""
    last = (shape[0],) + tuple(shape[2:]) + (rows.shape[1],)
    return numpy.moveaxis(rows.reshape(last), -1, 1)


def posterior(rows, weights, means, variances):
    """(31): ``lambda_k N_k(x) / sum_j lambda_j N_j(x)``, ``(M, K)``."""
    log_joint = numpy.full((len(rows), len(weights)), -numpy.inf)
    for k in range(len(weights)):
        if weights[k] > 0:
            log_joint[:, k] = numpy.log(numpy.float64(weights[k])) - .5 * (
                numpy.log(2 * numpy.pi * variances[k])
                + (rows - means[k]) ** 2 / variances[k]).sum(axis=1)
    joint = numpy.exp(log_joint - log_joint.max(axis=1, keepdims=True))
    return joint / joint.sum(axis=1, keepdims=True)


def statistics(rows, tau):
    """(36): ``lambda_k``, ``mu_k`` and ``var_k`` under a posterior."""
    n_components, n_dims = tau.shape[1], rows.shape[1]
    weights = numpy.zeros(n_components)
    means = numpy.zeros((n_components, n_dims))
    variances = numpy.zeros((n_components, n_dims))
    for k in range(n_components):
        weights[k] = tau[:, k].mean()
        if weights[k] > 0:
            hat = (tau[:, k] / tau[:, k].sum())[:, None]
            means[k] = (hat * rows).sum(axis=0)
            variances[k] = (hat * (rows - means[k]) ** 2).sum(axis=0)
    return weights, means, variances


def unbiased(weights, means, variances, n_points):
    """The statistics that inference keeps: ``var_k n_k / (n_k - 1)``.

    ``n_k = lambda_k M`` is at least 2 here, or 0.
    """
    counts = numpy.where(weights > 0, weights * n_points, 2)
    assert counts.min() >= 2
    return weights, means, variances * (counts / (counts - 1))[:, None]


def _component(parameter, k):
    """What acts on component ``k``, of ``(C,)`` or ``(K, C)``."""
    parameter = numpy.asarray(parameter, numpy.float64)
    return parameter[k] if parameter.ndim == 2 else parameter


def weighted_sum(rows, gamma, beta, tau, weights, means, variances, eps,
                 f=None):
    """(34), (37) and (40) under one mixture's statistics, ``(M, C)``."""
    y = numpy.zeros(rows.shape)
    inside = f is not None or numpy.ndim(gamma) == 2
    for k in range(len(weights)):
        if weights[k] == 0:
            continue
        xhat = (rows - means[k]) / numpy.sqrt(variances[k] + eps)  # (35)
        if inside:
            xhat = _component(gamma, k) * xhat + _component(beta, k)
        if f is not None:
            xhat = f(xhat)
        y += tau[:, k:k + 1] / numpy.sqrt(weights[k]) * xhat
    if not inside:
        y = numpy.asarray(gamma, numpy.float64) * y + beta
    return y


def second_order_sum(rows, gamma, beta, delta, tau, weights, means, variances,
                     eps, f=None):
    """(33) weighed by ``delta`` beside (34), inside ``f``, ``(M, C)``."""
    y = numpy.zeros(rows.shape)
    if f is None:
        y += weighted_sum(
            rows, gamma, beta, tau, weights, means, variances, eps)
    for k in range(len(weights)):
        if weights[k] == 0:
            continue
        xhat = (rows - means[k]) / numpy.sqrt(variances[k] + eps)
        second = _component(delta, k) * (xhat ** 2 - 1)
        if f is None:
            y += tau[:, k:k + 1] / numpy.sqrt(2 * weights[k]) * second
        else:
            y += tau[:, k:k + 1] / numpy.sqrt(weights[k]) * f(
                _component(gamma, k) * xhat + _component(beta, k)
                + second / numpy.sqrt(2))
    return y


def mixture_normalization(x, gamma, beta, tau, eps, f=None):
    """The transform with the batch's own statistics, eqs. (34) to (36)."""
    rows, tau = points(x), points(tau)
    return activation(weighted_sum(
        rows, gamma, beta, tau, *statistics(rows, tau), eps, f), x.shape)


def mixture_normalization_gradients(x, gamma, tau, eps, gy):
    """Gradients of ``sum(gy * y)`` with respect to x, gamma and beta.

    Batch normalization's, a component at a time: of ``xhat_k`` it is
    ``G_k = tau_k / sqrt(lambda_k) * gamma * gy``, and ``x`` reaches ``xhat_k``
    directly, through ``mu_k`` and through ``var_k``.
    """
    rows, g, tau = points(x), points(gy), points(tau)
    weights, means, variances = statistics(rows, tau)
    gx = numpy.zeros(rows.shape)
    ggamma = numpy.zeros((len(weights), rows.shape[1]))
    gbeta = numpy.zeros((len(weights), rows.shape[1]))
    for k in range(len(weights)):
        if weights[k] == 0:
            continue
        deviation = numpy.sqrt(variances[k] + eps)
        xhat = (rows - means[k]) / deviation
        upstream = tau[:, k:k + 1] / numpy.sqrt(weights[k]) * g
        ggamma[k] = (upstream * xhat).sum(axis=0)
        gbeta[k] = upstream.sum(axis=0)
        upstream = upstream * _component(gamma, k)
        hat = (tau[:, k] / tau[:, k].sum())[:, None]
        gx += (upstream - hat * (upstream.sum(axis=0)
                                 + xhat * (upstream * xhat).sum(axis=0))
               ) / deviation
    if numpy.ndim(gamma) == 1:
        ggamma, gbeta = ggamma.sum(axis=0), g.sum(axis=0)
    return activation(gx, x.shape), ggamma, gbeta


def queue_posteriors(x, weights, means, variances):
    """The posterior under each entry's own mixture, ``T`` of ``(M, K)``."""
    rows = points(x)
    return [posterior(rows, *entry)
            for entry in zip(weights, means, variances)]


def fixed_mixture_normalization(x, gamma, beta, posteriors, weights, means,
                                variances, factors, eps, f=None):
    """(38), (39): the outputs under ``T`` entries, averaged by factor.

    ``posteriors`` are given, so that the same numbers can be kept while ``x``
    moves: in the graph they are constants.
    """
    rows = points(x)
    y = numpy.zeros(rows.shape)
    for tau, lam, mean, variance, factor in zip(
            posteriors, weights, means, variances, factors):
        y += factor * weighted_sum(
            rows, gamma, numpy.zeros(numpy.shape(beta)) if f is None
            and numpy.ndim(gamma) == 1 else beta,
            tau, lam, mean, variance, eps, f)
    if f is None and numpy.ndim(gamma) == 1:
        y += beta
    return activation(y, x.shape)
