"""EM in extended precision, written as the equations are.

numpy.longdouble has 64 bits of mantissa on x86-64 and 113 on 64-bit ARM, for
53 of float64. Every sum is over deviations from a mean: no digits go where
points are far from the origin.
"""

import numpy

from mixnorm.mixture import Parameters


def posterior(x, parameters):
    """Computes the posterior, eq. (31), and the log density.

    Args:
        x (numpy.ndarray): Points ``(M, C)``, longdouble.
        parameters (Parameters): The mixture.

    Returns:
        tuple of numpy.ndarray: ``(K, M)`` and ``(M,)``, longdouble.

    """
    with numpy.errstate(divide='ignore'):
        # A component that no point belongs to has the weight 0.
        log_weights = numpy.log(parameters.weights)
    joint = numpy.stack([
        log_weight - (numpy.log(2 * _pi() * variance).sum()
                      + (x - mean) ** 2 @ (1 / variance)) / 2
        for log_weight, mean, variance in zip(log_weights, *parameters[1:])])
    largest = joint.max(axis=0)
    scaled = numpy.exp(joint - largest)
    total = scaled.sum(axis=0)
    return scaled / total, largest + numpy.log(total)


def _pi():
    # numpy.pi has the digits of float64 only.
    return 4 * numpy.arctan(numpy.longdouble(1))


def em_step(x, parameters, reg_covar):
    """Runs one iteration of EM.

    Args:
        x (numpy.ndarray): Points ``(M, C)``, longdouble.
        parameters (Parameters): The mixture to start from.
        reg_covar (float): Added to variances.

    Returns:
        tuple: The new mixture, and the mean log density of the points under
        the one given. A component that no point belongs to keeps its mean.

    """
    tau, log_density = posterior(x, parameters)
    counts = tau.sum(axis=1)
    means = numpy.array(parameters.means)
    variances = numpy.zeros_like(means)
    for k in numpy.flatnonzero(counts):
        means[k] = _weighted_sum(tau[k], x) / counts[k]
        variances[k] = _weighted_sum(
            tau[k], (x - means[k]) ** 2) / counts[k]
    return (Parameters(counts / len(x), means, variances + reg_covar),
            log_density.mean())


def _weighted_sum(weights, x):
    # The operator @ takes three times as long, without BLAS.
    return numpy.einsum('m,mc->c', weights, x)


def fit(points, start, reg_covar, tol, max_iter, on_iteration):
    """Runs EM until the mean log density gains less than a tolerance.

    Args:
        points (numpy.ndarray): ``(M, C)``, of any real dtype.
        start (Parameters): The mixture to start from, of any real dtype.
        reg_covar (float): Added to variances.
        tol (float): The least gain; 0 runs all iterations.
        max_iter (int): Most iterations.
        on_iteration (callable): Is told the number of each iteration.

    Returns:
        tuple: The mixture, longdouble; the number of iterations; and whether
        the tolerance was reached.

    """
    x = points.astype(numpy.longdouble)
    parameters = Parameters(*(z.astype(numpy.longdouble) for z in start))
    previous = -numpy.inf
    for n_iter in range(1, max_iter + 1):
        on_iteration(n_iter)
        parameters, lower_bound = em_step(x, parameters, reg_covar)
        if abs(lower_bound - previous) < tol:
            return parameters, n_iter, True
        previous = lower_bound
    return parameters, max_iter, False
