"""What a training pass computes of a mixture between passes over points."""
import numpy

from mixnorm.compute.carried import Carried, Queue, Start
from mixnorm.compute.columns import Coefficients, Gradients
from mixnorm.compute.gpu import launcher
from mixnorm.compute.gpu.constants import THREADS
from mixnorm.compute.gpu.mixture import check_components
from mixnorm.compute.gpu import points
from mixnorm.compute.gpu.points import contiguous, divide_up, NULL
from mixnorm.compute.layout import get_array_module, working_dtype

# Thread blocks that share the copy of a queue, at most, and the numbers that
# a thread of them copies.
_COPY_BLOCKS = 64
_COPIED = 4


@launcher.on_device
def of_batch(x, statistics, gamma, beta, eps, by_weight=False,
             carried=Carried(), n_points=None):
    """Computes coefficients, and what is carried to the next mini-batch."""
    xp = get_array_module(x)
    dtype = working_dtype(x.dtype)
    n_components, n_dims = statistics.means.shape
    check_components(n_components)
    slope, offset = (
        xp.empty((n_components, n_dims), dtype) for _ in range(2))
    origin = xp.empty((n_dims,), dtype)
    rank = xp.empty((n_components,), numpy.int64) if by_weight else None
    gamma, beta = contiguous(gamma, dtype), contiguous(beta, dtype)
    per_component = gamma.ndim == 2

    queue, decay, start = carried
    n_copied = n_entries = 0
    old_queue = new_queue = (NULL,) * 4
    if queue is not None:
        old_queue, new_queue = queue, Queue(*_empties(xp, queue))
        n_entries = len(queue.factors)
        n_copied = queue.means.size
    old_start, new_start = (NULL,) * 3, (NULL,) * 4
    if start is not None:
        old_start = start[:3]
        new_start = Start(
            *_empties(xp, old_start), xp.empty((), numpy.bool_))
    itemsize = next((z.dtype.itemsize for z in (old_queue[0], old_start[0])
                     if z is not NULL), dtype.itemsize)
    n_blocks = max(1, divide_up(n_dims, THREADS), min(
        _COPY_BLOCKS, divide_up(n_copied, _COPIED * THREADS)))
    launcher.launch(
        'coefficients', 'mixnorm_batch_coefficients', x.dtype, (n_blocks,), 0,
        (*statistics, _count(x, n_points), numpy.int32(n_components),
         numpy.int32(n_dims), numpy.float64(eps), gamma, beta,
         numpy.int32(per_component), slope, offset, origin,
         NULL if rank is None else rank, numpy.int32(itemsize),
         numpy.int32(n_entries), numpy.float64(decay), *old_queue, *new_queue,
         numpy.float64(1e8 * numpy.finfo(dtype).tiny), *old_start,
         *new_start))
    return (
        Coefficients(slope, offset, origin, None if per_component else beta),
        rank, Carried(None if queue is None else new_queue, decay,
                      None if start is None else new_start))


@launcher.on_device
def batch_gradients(x, statistics, gamma, eps, rank, origin, sums,
                    n_points=None):
    """Computes gradients, and the coefficients of that of the input."""
    xp = get_array_module(x)
    dtype = working_dtype(x.dtype)
    n_components, n_dims = statistics.means.shape
    quadratic, offset = (
        xp.empty((n_components, n_dims), dtype) for _ in range(2))
    affine = [xp.empty(gamma.shape, dtype) for _ in range(2)]
    launcher.launch(
        'coefficients', 'mixnorm_batch_gradients', x.dtype,
        (divide_up(n_dims, THREADS),), 0,
        (*sums, *statistics, _count(x, n_points),
         numpy.int32(n_components), numpy.int32(n_dims), numpy.float64(eps),
         contiguous(gamma, dtype), numpy.int32(gamma.ndim == 2),
         NULL if rank is None else rank, origin, quadratic, offset, *affine))
    return Gradients(quadratic, offset, *(
        z.astype(gamma.dtype, copy=False) for z in affine))


def _count(x, n_points):
    return numpy.int64(points.n_points(x) if n_points is None else n_points)


def _empties(xp, arrays):
    return [xp.empty(z.shape, z.dtype) for z in arrays]
