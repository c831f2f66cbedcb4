import numpy
import pytest

from compute_tests.cpu_tests.activations import (
    activation, ACTIVATIONS, rows_of)
from mixnorm.compute import cpu
from mixnorm.compute.layout import stack


@pytest.mark.parametrize('order', ['', 'channels last', 'strided'])
@pytest.mark.parametrize('shape', ACTIVATIONS, ids=str)
@pytest.mark.parametrize('n_columns', [1, 3])
def test_affine_and_its_gradients(shape, order, n_columns):
    x = activation(shape, order, 'f', 0)
    gy = activation(shape, '', 'f', 1)
    tau = numpy.random.RandomState(2).rand(
        shape[0], n_columns, *shape[2:]).astype('f')
    slope, offset, quadratic = numpy.random.RandomState(3).randn(
        3, n_columns, shape[1]).astype('f')
    origin, shift = numpy.random.RandomState(4).randn(
        2, shape[1]).astype('f')
    rows, upstream, weights = rows_of(x), rows_of(gy), rows_of(tau)
    for center in (None, origin):
        z = rows if center is None else rows - center
        y = cpu.transform.affine(
            stack(x), stack(tau), slope, offset, center, shift)
        numpy.testing.assert_allclose(
            numpy.moveaxis(y, 1, -1).reshape(rows.shape),
            z * (weights @ slope) + weights @ offset + shift, atol=1e-4)
        sums = cpu.transform.gradient_sums(
            stack(x), stack(gy), stack(tau), center)
        for found, expected in zip(sums, (
                weights.T @ upstream, weights.T @ (upstream * z),
                upstream.sum(axis=0))):
            numpy.testing.assert_allclose(
                found, expected, atol=1e-5 * len(rows) ** .5 + 1e-5)
        gx = cpu.transform.gradient_input(
            stack(x), stack(gy), stack(tau), slope, quadratic, offset, center)
        numpy.testing.assert_allclose(
            numpy.moveaxis(gx, 1, -1).reshape(rows.shape),
            upstream * (weights @ slope) + z * (weights @ quadratic)
            + weights @ offset, atol=1e-4)
