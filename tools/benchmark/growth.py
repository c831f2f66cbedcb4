"""How time and memory grow with the number of points and channels."""
import tracemalloc

import mixnorm
import chainer
import numpy

from tools.benchmark.cases import activation
from tools.benchmark.cases import forward_and_backward
from tools.benchmark.harness import new_process

# Shapes of the input by size.
SHAPES = {
    'points': {2 ** e: (2 ** e // 64, 16, 8, 8) for e in range(12, 23, 2)},
    'channels': {2 ** e: (256, 2 ** e, 8, 8) for e in range(4, 10)},
}


def extra_bytes(shape):
    """Measures what memory a layer takes that has not run before.

    For a process of its own: memory of earlier calls would not be seen.

    Args:
        shape (tuple of ints): Shape of the input.

    Returns:
        int: The most, in bytes, that is in use during either pass beyond
        input, output or gradient of the input, and posterior.

    """
    x = activation(chainer.get_device('@numpy'), shape)
    tracemalloc.start()
    link = mixnorm.links.MixtureNormalization(shape[1], seed=0)
    peaks = []
    for _ in range(3):
        v = chainer.Variable(x)
        tracemalloc.reset_peak()
        y = link(v)
        peaks.append(tracemalloc.get_traced_memory()[1] - x.nbytes)
        y.grad = x
        tracemalloc.reset_peak()
        y.backward()
        peaks.append(tracemalloc.get_traced_memory()[1] - 2 * x.nbytes)
        del v, y
    tracemalloc.stop()
    return max(peaks) - 4 * link.n_components * (x.size // shape[1])


def measure_growth(benchmark):
    """Measures both passes of mixture normalization at growing sizes."""
    benchmark.growth = {}
    for name, shapes in SHAPES.items():
        points = benchmark.growth[name] = []
        for size, shape in shapes.items():
            link = mixnorm.links.MixtureNormalization(shape[1], seed=0)
            seconds = benchmark.shortest(forward_and_backward(
                link, activation(benchmark.device, shape)))
            memory = None
            if benchmark.device.xp is numpy:
                with new_process() as process:
                    memory = process.submit(extra_bytes, shape).result()
            points.append(
                {'size': size, 'seconds': seconds, 'extra_bytes': memory})
        # A call costs something whatever the size.
        ends = points[0], points[-1]
        line = numpy.interp(list(shapes), [p['size'] for p in ends],
                            [p['seconds'] for p in ends])
        for p, seconds in zip(points, line):
            p['of_line'] = p['seconds'] / seconds
            note = '' if p['extra_bytes'] is None else (
                f", {p['extra_bytes'] / 2 ** 20:.1f} MiB beyond input, output "
                'and posterior')
            print(f"growth     {name:<9} {p['size']:>8}: {p['of_line']:6.3f} "
                  f'of the straight line{note}', flush=True)
