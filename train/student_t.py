"""Intervals of means by Student's t distribution."""

import math
import statistics


def mean_and_interval(values):
    """Returns a mean and how far its 95 % confidence interval reaches.

    Args:
        values (list of float): A sample.

    Returns:
        tuple: The mean, and half the interval's width, ``t * s / sqrt(n)``
        with the sample standard deviation ``s``; ``None`` of one value.

    """
    n = len(values)
    if n == 1:
        return values[0], None
    return (statistics.mean(values),
            quantile(n - 1) * statistics.stdev(values) / math.sqrt(n))


def quantile(degrees):
    """Returns Student's t for a two-sided interval of 95 %.

    Args:
        degrees (int): Degrees of freedom, at least 1.

    Returns:
        float: ``t`` with a probability of 0.95 between ``-t`` and ``t``.

    """
    low, high = 0., math.pi / 2
    # Halved until the two are neighbours.
    while low < (middle := (low + high) / 2) < high:
        if _probability(middle, degrees) < .95:
            low = middle
        else:
            high = middle
    return math.sqrt(degrees) * math.tan(low)


def _probability(angle, degrees):
    """Returns that of ``|T| < t`` with ``angle = atan(t / sqrt(degrees))``.

    Source: M. Abramowitz and I. A. Stegun, *Handbook of Mathematical
    Functions* (1964), 26.7.3 and 26.7.4.

    """
    odd = degrees % 2
    term = math.cos(angle) ** odd
    total = 0.
    for power in range(odd, degrees - 1, 2):
        total += term
        term *= (power + 1) / (power + 2) * math.cos(angle) ** 2
    total *= math.sin(angle)
    return 2 / math.pi * (angle + total) if odd else total
