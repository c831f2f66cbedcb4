"""Random numbers, always drawn on the host.

The same seed therefore gives the same draws whether the points lie in main
memory or on a GPU, and no draw waits for the GPU.
"""
import math

import numpy

from mixnorm.checks import check_random_state


_GENERATORS = numpy.random.RandomState, numpy.random.Generator


def as_generator(random_state):
    """Turns what users call a seed into what numbers are drawn from.

    Args:
        random_state: See :func:`check_random_state`, which checks it.

    Returns:
        numpy.random.RandomState or numpy.random.Generator

    """
    check_random_state(random_state)
    if isinstance(random_state, _GENERATORS):
        return random_state
    return numpy.random.RandomState(random_state)


def random_numbers(random_state, size):
    """Draws ``size`` uniform float64 numbers in [0, 1)."""
    return as_generator(random_state).random(size)


def sample_indices(n_points, ratio, random_state):
    """Draws a simple random sample of the points' numbers.

    Args:
        n_points (int): Number of points ``M``.
        ratio (float): Share of them to draw, in (0, 1].
        random_state: See :func:`check_random_state`.

    Returns:
        numpy.ndarray: ``ceil(ratio * M)`` distinct numbers in ascending
        order, which a gather reads fastest.

    """
    # .1 * 30 is a little more than 3, and means 3.
    size = max(1, math.ceil(ratio * n_points * (1 - 1e-12)))
    generator = as_generator(random_state)
    if isinstance(generator, numpy.random.Generator):
        indices = generator.choice(
            n_points, size, replace=False, shuffle=False)
    else:
        indices = generator.choice(n_points, size, replace=False)
    # Quicker than to sort them.
    chosen = numpy.zeros(n_points, bool)
    chosen[indices] = True
    return numpy.flatnonzero(chosen)
