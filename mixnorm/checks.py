"""Checks of arguments and types, with messages that name them.

An error says which argument it is, what was given and what is allowed, and is
raised before anything has changed.
"""
import contextlib
import math
import numbers

import chainer
from chainer.utils import type_check
import numpy

from mixnorm import compute
from mixnorm.compute.layout import get_array_module, stack


# Numbers, choices and callables


def is_integer(value):
    """Tells whether a value is an integer, which a boolean is not."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def is_real(value):
    """Tells whether a value is a real number, which a boolean is not."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def check_integer(name, value, minimum, maximum=None):
    """Raises ValueError unless ``value`` is an integer in the range.

    Args:
        name (str): Name of the argument.
        value (int): What a user gave.
        minimum (int): The least it may be.
        maximum (int or None): The most, if there is one.

    """
    if is_integer(value) and value >= minimum and (
            maximum is None or value <= maximum):
        return
    most = '' if maximum is None else f' and at most {maximum}'
    raise ValueError(f'{name} is {value!r}: it must be an integer of at '
                     f'least {minimum}{most}')


def check_real(name, value, low, high, closed_low=True, closed_high=True):
    """Raises ValueError unless ``value`` is a real number in the interval."""
    if (is_real(value)
            and (value >= low if closed_low else value > low)
            and (value <= high if closed_high else value < high)):
        return
    raise ValueError(f'{name} is {value!r}: it must be a number in '
                     f"{'[' if closed_low else '('}{low}, "
                     f"{high}{']' if closed_high else ')'}")


def check_choice(name, value, choices):
    """Raises ValueError unless ``value`` is one of ``choices``."""
    if not (isinstance(value, str) or is_integer(value)) or (
            value not in choices):
        raise ValueError(f'{name} is {value!r}: it must be '
                         f"{' or '.join(map(repr, choices))}")


def check_flag(name, value):
    """Checks an argument that is yes or no.

    Args:
        name (str): Name of the argument.
        value (bool): What a user gave.

    Raises:
        ValueError: If it is neither ``True`` nor ``False``.

    """
    if not isinstance(value, (bool, numpy.bool_)):
        raise ValueError(f'{name} is {value!r}: it must be True or False')


def check_communicator(name, value):
    """Raises ValueError unless it is one of ChainerMN's communicators."""
    if value is not None and not all(hasattr(value, method) for method in (
            'rank', 'size', 'allgather', 'allreduce', 'allreduce_obj')):
        raise ValueError(
            f'{name} is {value!r}: it must be what '
            'chainermn.create_communicator returns, or None')


def check_eps(eps):
    """Raises ValueError unless ``eps`` may be added to variances."""
    check_real('eps', eps, 0, math.inf, closed_high=False)


def check_activation(activation):
    """Raises ValueError unless ``activation`` may act inside the sum."""
    if activation is not None and not callable(activation):
        raise ValueError(f'activation is {activation!r}: it must be None or a '
                         'function of variables')


def check_groups(groups, n_channels):
    """Raises ValueError unless ``groups`` divides the number of channels."""
    check_integer('groups', groups, 1)
    if n_channels % groups:
        raise ValueError(f'groups is {groups}: it must divide the number of '
                         f'channels, which is {n_channels}')


def check_window(window):
    """Checks the argument ``window``.

    Args:
        window (int or tuple of ints): What a user gave.

    Returns:
        int or tuple of ints: The same.

    Raises:
        ValueError: If it is none of these, or not odd and positive.

    """
    widths = window if isinstance(window, tuple) else (window,)
    if not all(is_integer(w) and w > 0 and w % 2 for w in widths):
        raise ValueError(f'window is {window!r}: it must be an odd positive '
                         'integer or a tuple of them')
    return window


def check_random_state(random_state):
    """Raises ValueError unless it is what users call a seed.

    Args:
        random_state (None, int, numpy.random.RandomState or \
numpy.random.Generator): ``None`` for fresh entropy; an integer for
            ``RandomState(random_state)``, whose numbers are those that
            scikit-learn draws.

    """
    if random_state is None or isinstance(
            random_state,
            (numpy.random.RandomState, numpy.random.Generator)) or (
            is_integer(random_state) and 0 <= random_state < 1 << 32):
        return
    raise ValueError(
        f'random_state is {random_state!r}: it must be None, an integer from '
        '0 to 2**32 - 1, a numpy.random.RandomState or a '
        'numpy.random.Generator')


# Shapes, dtypes and initializers


def check_size(size):
    """Checks the argument ``size`` of a link.

    Args:
        size (int, tuple of ints or None): What a user gave.

    Returns:
        tuple of ints or None: The size.

    Raises:
        ValueError: If it is none of these, or a dimension is not positive, or
            there is none.

    """
    if size is None:
        return None
    sizes = size if isinstance(size, tuple) else (size,)
    if not sizes or not all(is_integer(s) and s > 0 for s in sizes):
        raise ValueError(
            f'size is {size!r}: it must be None, a positive integer or a '
            'tuple of them that is not empty')
    return tuple(int(s) for s in sizes)


def check_axis(axis):
    """Checks the argument ``axis`` of a link.

    Args:
        axis (int, tuple of ints or None): What a user gave.

    Returns:
        tuple of ints or None: The axes.

    Raises:
        ValueError: If it is none of these, or not in ascending order.

    """
    if axis is None:
        return None
    axes = axis if isinstance(axis, (tuple, list)) else (axis,)
    ascending = all(is_integer(a) and a > previous
                    for previous, a in zip((-1,) + tuple(axes), axes))
    if not axes or not ascending:
        raise ValueError(
            f'axis is {axis!r}: it must be None, an axis from 0 or a tuple of '
            'axes in ascending order')
    return tuple(int(a) for a in axes)


def check_dtype(dtype):
    """Checks the argument ``dtype`` of a link.

    Args:
        dtype (numpy.dtype or None): What a user gave.

    Returns:
        numpy.dtype: The type of parameters: that of ``chainer.config.dtype``
        if ``None``, and float32 for mixed16.

    Raises:
        ValueError: If it is no floating dtype.

    """
    try:
        resolved = chainer.get_dtype(dtype, map_mixed16=numpy.float32)
    except (TypeError, ValueError, SyntaxError):
        resolved = None
    if resolved is None or resolved.kind != 'f':
        raise ValueError(f'dtype is {dtype!r}: it must be None or a floating '
                         'dtype')
    return resolved


def check_initializer(name, value, shape=None):
    """Checks an argument that initializes an array.

    Args:
        name (str): Name of the argument.
        value (float, array, callable or None): What a user gave.
        shape (tuple of ints or None): Shape of what it is to fill, where that
            is known.

    Raises:
        ValueError: If it is none of these, or an array that does not
            broadcast to the shape.

    """
    fill = getattr(value, 'fill_value', value)
    if isinstance(fill, chainer.get_array_types()):
        if fill.dtype.kind in 'fiu':
            _check_broadcast(name, fill.shape, shape)
            return
    # A class would be called with the array and leave it as it is.
    elif fill is None or is_real(fill) or (
            callable(fill) and not isinstance(fill, type)):
        return
    raise ValueError(f'{name} is {value!r}: it must be None, a number, an '
                     'array of numbers or an initializer')


def _check_broadcast(name, shape, target):
    if target is None:
        return
    # Aligned at their last axes.
    aligned = zip(shape[::-1], target[::-1])
    if len(shape) > len(target) or any(
            n not in (1, expected) for n, expected in aligned):
        raise ValueError(f'{name} has shape {shape}: it must broadcast to '
                         f'{target}')


@contextlib.contextmanager
def naming_initializer(name, value, shape):
    """Names an initializer in the error if it cannot fill an array.

    Args:
        name (str): Name of the argument.
        value (callable): The initializer.
        shape (tuple of ints): Shape of what it fills.

    """
    try:
        yield
    except (TypeError, ValueError) as error:
        raise ValueError(f'{name} is {value!r}: it cannot fill shape {shape}: '
                         f'{error}') from error


# Arrays and types


def check_points(X, name='X'):
    """Validates points.

    Args:
        X (array-like): Points ``(N, C, *S)``.
        name (str): What messages call them.

    Returns:
        array: ``X`` as a NumPy or CuPy array of a floating dtype.

    Raises:
        ValueError: If there are fewer than two axes, no point, no dimension,
            or a value that is not finite.

    """
    xp = get_array_module(X)
    try:
        X = xp.asarray(X)
    except ValueError as error:
        raise ValueError(f'{name} is no array: {error}')
    if X.dtype.kind not in 'biuf':
        raise ValueError(f'{name} has dtype {X.dtype}: it must be real')
    X = as_floating(X)
    if X.ndim < 2 or X.size == 0:
        raise ValueError(
            f'{name} has shape {X.shape}: it must be (points, dimensions), or '
            '(samples, dimensions, *spatial), and hold at least one point')
    n_bad = int(compute.arithmetic(X).sample.count_not_finite(stack(X)))
    if n_bad:
        raise ValueError(f'{name} holds {n_bad} of {X.size} values that are '
                         'not finite, NaN or inf')
    return X


def as_floating(X):
    """Returns real points in a dtype that is computed with.

    Args:
        X (array or dask.array.Array): Real numbers.

    Returns:
        array or dask.array.Array: ``X``, float64 unless it is float16,
        float32 or float64.

    """
    return X if X.dtype.char in 'efd' else X.astype(numpy.float64)


def as_weights(sample_weight):
    """Returns weights of points as an array of float64.

    Args:
        sample_weight (array-like): Weights.

    Returns:
        array: NumPy's, or CuPy's if they are.

    Raises:
        ValueError: If they are no real numbers.

    """
    try:
        weights = get_array_module(sample_weight).asarray(sample_weight)
        if weights.dtype.kind not in 'biufO':
            raise ValueError(f'its dtype is {weights.dtype}')
        return weights.astype(numpy.float64, copy=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f'sample_weight is no array of numbers: {error}')


def check_sample_weight(sample_weight, X):
    """Validates the weights of points.

    Args:
        sample_weight (array-like): Weights ``(N, *S)``.
        X (array): The points, ``(N, C, *S)``.

    Returns:
        array: The weights, float64, where ``X`` is.

    Raises:
        ValueError: If their shape is another, or they are not finite numbers
            of at least 0.

    """
    xp = get_array_module(X)
    shape = X.shape[:1] + X.shape[2:]
    weights = xp.asarray(as_weights(sample_weight))
    if weights.shape != shape:
        raise ValueError(f'sample_weight has shape {weights.shape}: it must '
                         f'be {shape}')
    if not bool(xp.isfinite(weights).all()) or bool((weights < 0).any()):
        raise ValueError('sample_weight holds values that are negative or not '
                         'finite')
    return weights


def array_types(**arrays):
    """Returns the types of arrays for Chainer's type checks.

    Args:
        arrays (arrays or chainer.Variable): By name.

    Returns:
        list of chainer.utils.type_check.Variable: In the same order.

    """
    return [
        type_check.make_variable(
            type_check.TypeInfo(array.shape, array.dtype), name)
        for name, array in arrays.items()]


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
    x_type, *vector_types = array_types(x=x, **vectors)
    type_check.expect(x_type.dtype.kind == 'f', x_type.ndim >= 2)
    for i in range(0 if chainer.config.train else 1, x.ndim):
        type_check.expect(x_type.shape[i] > 0)
    for v_type in vector_types:
        type_check.expect(
            v_type.dtype.kind == 'f',
            v_type.ndim == 1,
            v_type.shape[0] == x_type.shape[1])


def check_affine_types(x_type, gamma_type, beta_type, n_components):
    """Checks the types of input, scale and shift.

    Args:
        x_type: Type of ``x``: floating, ``(N, C, *S)``.
        gamma_type: Type of ``gamma``: floating, ``(C,)`` or ``(K, C)``.
        beta_type: Type of ``beta``: as ``gamma``'s.
        n_components (int): ``K``.

    Raises:
        chainer.utils.type_check.InvalidType: If one of them does not fit.

    """
    type_check.expect(
        x_type.dtype.kind == 'f',
        x_type.ndim >= 2,
    )
    type_check.expect(
        gamma_type.dtype.kind == 'f',
        gamma_type.ndim >= 1,
        gamma_type.ndim <= 2,
        beta_type.dtype == gamma_type.dtype,
        beta_type.shape == gamma_type.shape,
    )
    # Counted from the front: Chainer's type expressions know no -1.
    ndim = type_check.eval(gamma_type.ndim)
    type_check.expect(gamma_type.shape[ndim - 1] == x_type.shape[1])
    if ndim == 2:
        type_check.expect(gamma_type.shape[0] == n_components)


def check_delta_type(delta, gamma):
    """Checks the type of the weight of second order.

    Args:
        delta (array): Its type is to be ``gamma``'s.
        gamma (array): Scale.

    Raises:
        chainer.utils.type_check.InvalidType: If it is not.

    """
    if chainer.config.type_check:
        delta_type, gamma_type = array_types(delta=delta, gamma=gamma)
        type_check.expect(
            delta_type.dtype == gamma_type.dtype,
            delta_type.shape == gamma_type.shape,
        )


def check_input_types(node, *inputs):
    """Checks arrays as ``node.apply`` would, for a value made without it.

    Args:
        node (chainer.FunctionNode): Whose types are meant.
        inputs (arrays): The node's inputs.

    Raises:
        chainer.utils.type_check.InvalidType: If one of them does not fit.

    """
    if chainer.config.type_check:
        with type_check.get_function_check_context(node):
            node.check_type_forward(
                type_check.get_types(inputs, 'in_types', False))
