"""The transform and its gradient, as thin products."""
import numpy

from mixnorm.compute.cpu.points import as_points, block_view, divide, Points
from mixnorm.compute.cpu.products import contract, expand, with_ones
from mixnorm.compute.layout import empty_like
from mixnorm.compute.threads import for_blocks


def find_origin(x):
    """Finds a point amid the data; ``None`` if the origin serves as well."""
    return as_points(x).origin


def affine(x, tau, slope, offset, origin, shift):
    """Computes ``(x - origin) * (tau slope) + tau offset + shift``."""
    points = Points(x, origin)
    y = empty_like(x, x.dtype)
    if shift is not None:
        offset = numpy.concatenate([offset, shift[None]])

    def work(block, scratch):
        z = points.load(block, scratch)
        part = block_view(tau, block)
        product = expand(slope, part, scratch.empty_like('product', z))
        product *= z
        numpy.add(product, expand(
            offset, part if shift is None else with_ones(part),
            scratch.empty_like('offset', z)), out=block_view(y, block),
            casting='same_kind')

    for_blocks(work, divide(x.shape, tau.shape[1] + 1))
    return y


def gradient_sums(x, gy, tau, origin):
    """Computes what the gradients of means and variances are made of."""
    points, upstream = Points(x, origin), Points(gy, None)

    def work(block, scratch):
        z = points.load(block, scratch)
        g = upstream.load(block, scratch, 'upstream')
        part = block_view(tau, block)
        sum_g, = contract(with_ones(part), g)
        sum_gx, = contract(part, numpy.multiply(
            g, z, out=scratch.empty_like('product', g, points.dtype)))
        return sum_g, sum_gx

    sum_g, sum_gx = (sum(parts) for parts in zip(*for_blocks(
        work, divide(x.shape, tau.shape[1] + 1))))
    return sum_g[:-1], sum_gx, sum_g[-1]


def gradient_input(x, gy, tau, slope, quadratic, offset, origin):
    """Computes ``gy * (tau slope) + (x - origin) * (tau quadratic) + tau \
offset``."""
    points = Points(x, origin)
    gx = empty_like(x, x.dtype)

    def work(block, scratch):
        part, out = block_view(tau, block), block_view(gx, block)
        term = expand(
            slope, part, scratch.empty_like('term', out, points.dtype))
        if quadratic is None:
            numpy.multiply(term, block_view(gy, block), out=out,
                           casting='same_kind')
            return
        term *= block_view(gy, block)
        z = points.load(block, scratch)
        product = expand(
            quadratic, part, scratch.empty_like('product', out, points.dtype))
        product *= z
        term += product
        numpy.add(term, expand(offset, part, product), out=out,
                  casting='same_kind')

    for_blocks(work, divide(x.shape, tau.shape[1]))
    return gx
