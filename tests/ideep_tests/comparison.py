"""Compares what is computed by iDeep with Chainer's own, in float64."""

import chainer
import numpy


def normal(*shape, seed=0):
    """Returns normal random numbers of float32."""
    return numpy.random.RandomState(seed).standard_normal(shape).astype(
        numpy.float32)


def assert_same(function, *arrays, rtol=1e-4, atol=1e-5):
    """Asserts that outputs and gradients are Chainer's own, to rounding.

    Args:
        function (callable): Takes variables and returns one.
        arrays (numpy.ndarray): The arguments, of float32.
        rtol (float): Relative to each element.
        atol (float): Relative to the largest element.

    """
    with chainer.using_config('use_ideep', 'never'):
        expected = _results(
            function, [x.astype(numpy.float64) for x in arrays])
    with chainer.using_config('use_ideep', 'always'):
        found = _results(function, arrays)
    for x, y in zip(found, expected):
        assert type(x) is numpy.ndarray
        assert x.dtype == numpy.float32
        numpy.testing.assert_allclose(
            x, y, rtol, atol * max(1, abs(y[numpy.isfinite(y)]).max()))


def _results(function, arrays):
    """Returns the output, and gradients of a sum with random weights."""
    inputs = [chainer.Variable(x) for x in arrays]
    y = function(*inputs)
    y.grad = normal(*y.shape, seed=1).astype(y.dtype)
    y.backward()
    return [y.array] + [x.grad for x in inputs]
