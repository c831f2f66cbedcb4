"""The parameters of a mixture."""
import typing

import numpy

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


def without_absent(parameters):
    """Leaves out absent components: what follows is spared them.

    On a GPU it leaves the parameters as they are, and waits for nothing.

    Args:
        parameters (Parameters): A mixture.

    Returns:
        Parameters: The components of weight other than 0, in their order.

    """
    if get_array_module(parameters.weights) is not numpy:
        return parameters
    # Not "> 0": what is not a number must not pass for absent.
    present = parameters.weights != 0
    if present.all():
        return parameters
    return Parameters(*(z[present] for z in parameters))


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
