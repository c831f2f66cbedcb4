"""Coefficients by which rows are mapped."""
import typing


class RowCoefficients(typing.NamedTuple):

    """What maps rows, and its derivatives.

    Attributes:
        slope (array): See :meth:`mixnorm.compute.contract.Rows.affine`.
        offset (array): Likewise.
        origin (array): A constant near the rows' means, float64, that
            broadcasts to ``(N, C)``.
        gradients (callable): From what
            :meth:`mixnorm.compute.contract.Rows.gradient_sums` returns, and
            the number of values of a row, to ``quadratic`` and ``offset`` of
            ``gradient_input``, and a list of the parameters' gradients.
        gates (array or None): The gates, float64, if there are any.
        statistics (tuple of arrays or None): The modes' means of ``x`` and of
            ``x^2``, ``(K, C)``, float64, if modes are those of samples.

    """

    slope: typing.Any
    offset: typing.Any
    origin: typing.Any
    gradients: typing.Any
    gates: typing.Any = None
    statistics: typing.Any = None
