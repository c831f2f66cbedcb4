"""Means over seeds with their intervals."""

import math
import statistics


# Student's t at 0.975 for 1, 2, ... degrees of freedom.
_QUANTILES = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262,
              2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101,
              2.093, 2.086)


def mean_and_interval(values):
    """Computes a mean and its 95 % interval by Student's t.

    Args:
        values (list of float): One of each run.

    Returns:
        tuple: The mean and half of the interval, ``None`` for one run.

    """
    mean = statistics.mean(values)
    if len(values) == 1:
        return mean, None
    freedom = min(len(values) - 1, len(_QUANTILES))
    return mean, _QUANTILES[freedom - 1] * statistics.stdev(
        values) / math.sqrt(len(values))


def difference(pairs):
    """Computes the mean difference of pairs and its 95 % interval.

    Args:
        pairs (list of tuple): Figures of two runs with one seed each.

    Returns:
        tuple: See :func:`mean_and_interval`.

    """
    return mean_and_interval([a - b for a, b in pairs])
