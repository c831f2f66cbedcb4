import numpy

import chainer
from chainer import backend
from chainer.utils import type_check

from mixnorm.checks import array_types, check_eps
from mixnorm.functions.normalization.gates import (
    check_types_with_gates, SampleGated)
from mixnorm.functions.normalization.modes import sum_over_modes
from mixnorm.functions.normalization.row_normalization import RowNormalization


class FixedModeNormalization(RowNormalization):

    """Node of :func:`fixed_mode_normalization`.

    Attributes:
        mean (array): See :func:`fixed_mode_normalization`.
        sqmean (array): See :func:`fixed_mode_normalization`.

    """

    needs_variances = False

    def __init__(self, mean, sqmean, eps=2e-5):
        self.eps = eps
        self.mean = mean
        self.sqmean = sqmean

    def check_type_forward(self, in_types):
        check_types_with_gates(in_types, 1)
        self._check_moments(in_types[0], in_types[1].shape[1])

    def _check_moments(self, x_type, n_modes):
        mean, sqmean = array_types(mean=self.mean, sqmean=self.sqmean)
        type_check.expect(mean.ndim == 2)
        type_check.expect(
            mean.shape[0] == n_modes,
            mean.shape[1] == x_type.shape[1],
            sqmean.shape == mean.shape,
        )

    def compute_origin(self, means):
        return self.mean.astype(numpy.float64).mean(axis=0)

    def compute_coefficients(self, moments, parameters, origin):
        mean = self.mean.astype(numpy.float64)
        variance = backend.get_array_module(mean).maximum(
            self.sqmean - mean * mean, 0)
        slope, intercept, sum_gradients = sum_over_modes(
            *parameters, mean - origin, variance, self.eps)

        def gradients(gslope, gintercept):
            # The moments are constants.
            *gparameters, _, _ = sum_gradients(gslope, gintercept)
            return [0 * gslope], gparameters

        return slope, intercept, gradients

    def compute_at_once(self, modes, moments, parameters):
        *gating, gamma, beta = parameters
        return modes.of_samples(
            *moments, None, gating, gamma, beta, self.eps,
            (self.mean, self.sqmean))


class GatedFixedModeNormalization(SampleGated, FixedModeNormalization):

    """Fixed mode normalization by gates that it computes itself."""

    def check_type_forward(self, in_types):
        super().check_type_forward(in_types)
        self._check_moments(in_types[0], in_types[1].shape[0])


def fixed_mode_normalization(x, gates, gamma, beta, mean, sqmean, eps=2e-5):
    r"""Mode normalization with fixed statistics.

    .. math::

        y_n = \gamma \sum_k g_{nk} \frac{x_n - \langle x \rangle_k}
        {\sqrt{\langle x^2 \rangle_k - \langle x \rangle_k^2 + \epsilon}}
        + \beta

    Args:
        x (:class:`~chainer.Variable` or array): Input ``(N, C, *S)``,
            floating; ``S`` may be empty.
        gates (:class:`~chainer.Variable` or array): ``g``, of shape
            ``(N, K)``, floating; sums to 1 over ``K``.
        gamma (:class:`~chainer.Variable` or array): Scale ``(C,)`` of the
            sum, or ``(K, C)`` of each mode's standardized input; floating.
        beta (:class:`~chainer.Variable` or array): Shift, of ``gamma``'s
            shape and dtype.
        mean (array): The modes' averages of ``x``, ``(K, C)``, a constant.
        sqmean (array): The modes' averages of ``x^2``, ``(K, C)``, a
            constant; in float64 where means are far from 0 in units of
            deviations, as the difference cancels.
        eps (float): Added to variances, in squared units of ``x``.

    Returns:
        ~chainer.Variable: ``y``, of ``x``'s shape and dtype.

    Raises:
        chainer.utils.type_check.InvalidType: If shapes or dtypes do not fit.
        ValueError: If ``eps`` is negative or no finite number.

    Source: L. Deecke, I. Murray and H. Bilen, *Mode Normalization* (2019),
    eqs. (2) and (4).

    .. seealso:: :func:`mixnorm.functions.mode_normalization`

    """
    check_eps(eps)
    y, = FixedModeNormalization(*map(
        chainer.as_array, (mean, sqmean)), eps).apply((x, gates, gamma, beta))
    return y
