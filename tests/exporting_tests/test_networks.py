"""The papers' networks, with mixtures and modes, exported to ONNX."""

import chainer
import numpy
import pytest

pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')

from models.cifar_cnn import CifarCNN  # NOQA
from models.lenet import LeNet  # NOQA
from exporting_tests.runtimes import (  # NOQA
    assert_close, export, in_onnxruntime, in_reference, in_test_mode)
from models_tests import test_networks  # NOQA

# How to make each; where mixtures are, and which of them is a mode's.
_NETWORKS = {
    'CifarCNN': (lambda **kwargs: CifarCNN(4, 3, (4, 6, 6, 8), **kwargs),
                 'conv[23]', 'conv3'),
    'LeNet': (lambda **kwargs: LeNet(4, 3, **kwargs), 'conv?', 'conv2'),
    **test_networks.NETWORKS}

# In the reference evaluator their convolutions take long.
_SLOW = {'DenseNet', 'Generator', 'InceptionV3', 'NIN', 'VGG13'}


@pytest.mark.parametrize('name', sorted(_NETWORKS))
def test_network(name):
    make, subtree, layer = _NETWORKS[name]
    numpy.random.seed(0)
    model = make(normalizers={
        subtree: ('mixture', {'n_components': 2, 'seed': 3}),
        layer: ('mode', {'n_modes': 3})})
    shape = (4, 5) if name == 'Generator' else (4, 3, 32, 32)
    x = numpy.random.normal(size=shape).astype('f')
    with chainer.no_backprop_mode():
        model(x)
    expected = in_test_mode(model, x)
    exported = export(model, x)
    assert_close(in_onnxruntime(exported, x), expected, 1e-5)
    if name not in _SLOW:
        assert_close(in_reference(exported, x), expected, 1e-5)
