"""The parameters of a mixture."""
import typing


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
