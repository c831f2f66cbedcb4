"""The parameters of a mixture."""
import typing

from mixnorm.compute.layout import get_array_module


class Parameters(typing.NamedTuple):

    """Parameters of a diagonal Gaussian mixture.

    Attributes:
        weights (array): ``(K,)``, summing to 1; 0 for an absent component.
        means (array): ``(K, C)``.
        variances (array): ``(K, C)``.

    """

    weights: typing.Any
    means: typing.Any
    variances: typing.Any


def are_finite(arrays):
    """Tells whether all values are finite, without waiting for a GPU.

    Args:
        arrays (iterable of arrays): Parameters, all on one device.

    Returns:
        array: A boolean without axes, on that device.

    """
    arrays = list(arrays)
    xp = get_array_module(*arrays)
    return xp.stack([xp.isfinite(z).all() for z in arrays]).all()
