"""Local response normalization across channels."""
import collections

import numpy

localResponseNormalizationParam = collections.namedtuple(
    'localResponseNormalizationParam', 'n k n_alpha beta kind')
localResponseNormalizationParam.lrn_across_channels = 'across channels'


class localResponseNormalization:

    """y_c = x_c s_c^-beta, s_c = k + alpha sum_{|c' - c| <= n / 2} x_c'^2.

    x has the shape ``(N, C, H, W)``.

    """

    @staticmethod
    def Forward(x, param):
        """Returns y and s."""
        s = _sum_over_neighbours(numpy.square(x), param.n)
        s *= param.n_alpha / param.n
        s += param.k
        return x * s ** -param.beta, s

    @staticmethod
    def Backward(x, gy, s, param):
        """Returns the gradient of x."""
        scale = s ** -param.beta
        gx = _sum_over_neighbours(gy * x * scale / s, param.n)
        gx *= -2 * param.n_alpha / param.n * param.beta * x
        gx += gy * scale
        return gx


def _sum_over_neighbours(x, n):
    """Returns the sum of x_c' over |c' - c| <= n / 2, for each c."""
    total = x.copy()
    for i in range(1, n // 2 + 1):
        total[:, i:] += x[:, :-i]
        total[:, :-i] += x[:, i:]
    return total
