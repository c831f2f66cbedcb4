"""Chainer's own exporter to ONNX, where there is onnx."""

import chainer
import chainer.functions as F
import chainer.links as L
import numpy
import pytest

from compat_tests.programs import run_code

pytest.importorskip('onnx')


class _Model(chainer.Chain):

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.conv = L.Convolution2D(3, 4, 3)
            self.norm = L.BatchNormalization(4)
            self.fc = L.Linear(None, 2)

    def forward(self, x):
        h = F.relu(self.norm(self.conv(x)))
        return F.cast(self.fc(F.mean(h, axis=(2, 3)) + 1), 'float64')


def test_model():
    import onnx_chainer
    onnxruntime = pytest.importorskip('onnxruntime')

    numpy.random.seed(0)
    model = _Model()
    x = numpy.random.randn(2, 3, 8, 8).astype(numpy.float32)
    model(x)  # so that running averages are not what they start with
    exported = onnx_chainer.export(model, x)
    assert exported.ir_version == 8
    with chainer.using_config('train', False):
        expected = model(x).array
    y, = onnxruntime.InferenceSession(exported.SerializeToString()).run(
        None, {'Input_0': x})
    assert y.dtype == numpy.float64
    numpy.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


def test_message_without_onnx(tmp_path):
    (tmp_path / 'onnx.py').write_text('raise ImportError')
    run_code('''
        import mixnorm
        import chainer
        import onnx_chainer
        try:
            onnx_chainer.export(chainer.links.Linear(2, 2), None)
        except ImportError as error:
            assert 'mixnorm[onnx]' in str(error), error
        else:
            raise AssertionError('exported')
        ''', path=[str(tmp_path)])
