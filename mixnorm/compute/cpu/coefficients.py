"""What a training pass computes of a mixture between passes over points."""
import numpy

from mixnorm.compute.carried import Carried, follow, push, unbiased
from mixnorm.compute.columns import batch_columns, coefficients, gradients
from mixnorm.compute.cpu.transform import find_origin
from mixnorm.compute.parameters import Parameters


def of_batch(x, statistics, gamma, beta, eps, by_weight=False,
             carried=Carried(), n_points=None):
    """Computes coefficients, and what is carried to the next mini-batch."""
    n_points = _count(x, n_points)
    rank, ordered = None, statistics
    if by_weight:
        order = (-statistics.weights).argsort()
        rank = order.argsort()
        ordered = Parameters(*(z[order] for z in statistics))
    queue, decay, start = carried
    if queue is not None:
        queue = push(queue, unbiased(ordered, n_points), decay)
    if start is not None:
        start = follow(start, ordered, n_points)
    return (
        coefficients(
            batch_columns(statistics, n_points, eps), _ranked(gamma, rank),
            _ranked(beta, rank), find_origin(x)),
        rank, Carried(queue, decay, start))


def batch_gradients(x, statistics, gamma, eps, rank, origin, sums,
                    n_points=None):
    """Computes gradients, and the coefficients of that of the input."""
    found = gradients(
        batch_columns(statistics, _count(x, n_points), eps),
        _ranked(gamma, rank), origin, sums)
    if rank is None or gamma.ndim == 1:
        return found
    affine = numpy.zeros((2,) + gamma.shape, gamma.dtype)
    affine[:, rank] = found[2:]
    return found._replace(gamma=affine[0], beta=affine[1])


def _count(x, n_points):
    return x.shape[0] * x.shape[2] if n_points is None else n_points


def _ranked(parameter, rank):
    """Returns each component's own scale or shift; leaves ``(C,)``."""
    if rank is None or parameter.ndim == 1:
        return parameter
    return parameter[rank]
