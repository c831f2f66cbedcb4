"""Intervals of means by Student's t distribution."""

import math
import statistics

from scipy import special


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
    # Two-sided.
    t = special.stdtrit(n - 1, .975).item()
    return (statistics.mean(values),
            t * statistics.stdev(values) / math.sqrt(n))
