"""Checks of what functions of ``(N, C, *S)`` are given."""
import chainer
from chainer.utils import type_check


def check_channels(x, **vectors):
    """Checks an input and what belongs to its channels.

    Args:
        x (~chainer.Variable): The input: floating, ``(N, C, *S)``, not empty;
            in test mode ``N`` may be 0.
        vectors (~chainer.Variable): By name, floating and ``(C,)`` each.

    Raises:
        chainer.utils.type_check.InvalidType: If one is something else.

    """
    if not chainer.config.type_check:
        return
    x_type = type_check.make_variable(
        type_check.TypeInfo(x.shape, x.dtype), 'x')
    type_check.expect(x_type.dtype.kind == 'f', x_type.ndim >= 2)
    for i in range(0 if chainer.config.train else 1, x.ndim):
        type_check.expect(x_type.shape[i] > 0)
    for name, vector in vectors.items():
        v_type = type_check.make_variable(
            type_check.TypeInfo(vector.shape, vector.dtype), name)
        type_check.expect(
            v_type.dtype.kind == 'f',
            v_type.ndim == 1,
            v_type.shape[0] == x_type.shape[1])
