"""Gates in which digits are easily lost, exported to ONNX."""

import chainer.functions as F
import mixnorm
import numpy
import pytest

pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')

from exporting_tests.runtimes import (  # NOQA
    assert_close, export, in_onnxruntime, in_reference, in_test_mode)


@pytest.mark.parametrize('run', [in_onnxruntime, in_reference])
@pytest.mark.parametrize('name', ['mode', 'mode_group'])
@pytest.mark.parametrize('offset, spread', [
    # What gates' weights have in common is most of the scores.
    (1000, .001),
    # A channel has all of its weight on one mode.
    (0, 50)])
def test_scores(name, offset, spread, run):
    random = numpy.random.RandomState(0)
    x = (random.normal(size=(8, 64, 3)) + offset).astype('f')
    x[::2] += .5
    link = mixnorm.normalizer(name, 64, n_modes=3)
    shape = link.gate_W.shape
    link.gate_W.array[...] = 1 / 3 + spread * random.normal(size=shape)
    if name == 'mode':
        link.avg_mean[...] = offset + random.normal(size=shape)
        link.avg_sqmean[...] = link.avg_mean ** 2 + 1
    assert_close(run(export(link, x), x), in_test_mode(link, x), 2e-5)


@pytest.mark.parametrize('gates_of', ['samples', 'channels'])
def test_given_gates(gates_of):
    """The functions, whose gates come from elsewhere."""
    random = numpy.random.RandomState(0)
    x = random.normal(size=(8, 6, 4, 5)).astype('f')
    gamma, beta = random.normal(size=(2, 6)).astype('f')
    mean = random.normal(size=(3, 6))
    W = random.normal(size=3).astype('f')

    def normalize(x):
        gates = F.softmax(F.mean(x, axis=(2, 3), keepdims=True)[..., 0] * W,
                          axis=2)
        if gates_of == 'channels':
            return mixnorm.functions.mode_group_normalization(
                x, gates, gamma, beta)
        return mixnorm.functions.fixed_mode_normalization(
            x, gates[:, 0], gamma, beta, mean, mean ** 2 + 1)

    assert_close(in_onnxruntime(export(normalize, x), x),
                 in_test_mode(normalize, x), 1e-5)
