"""Exports to ONNX, and what computes them."""

import chainer
import numpy
import onnx_chainer
import onnxruntime
from onnx import reference

# Its warnings tell of parameters that a caller could replace.
onnxruntime.set_default_logger_severity(3)


def export(link, x, spatial=None, **options):
    """Exports a link for mini-batches of any size, as two samples trace it.

    Args:
        link (chainer.Link): The link.
        x (numpy.ndarray): ``(N, C, *S)``.
        spatial (tuple): ``S`` as the graph is to have it, in place of the
            samples'.
        options: Arguments of Chainer's exporter.

    """
    spatial = x.shape[2:] if spatial is None else spatial
    return onnx_chainer.export(
        chainer.Sequential(link), x[:2],
        input_shapes=('n', *x.shape[1:2], *spatial), **options)


def in_test_mode(link, x):
    """Returns Chainer's output."""
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        return chainer.as_variable(link(x)).array


def in_onnxruntime(exported, x):
    session = onnxruntime.InferenceSession(
        exported.SerializeToString(), providers=['CPUExecutionProvider'])
    return session.run(None, {'Input_0': x})[0]


def in_reference(exported, x):
    return reference.ReferenceEvaluator(exported).run(None, {'Input_0': x})[0]


def assert_close(found, expected, tolerance):
    """Asserts that outputs differ by little, in units of the greatest."""
    assert found.dtype == expected.dtype
    assert numpy.isfinite(expected).all()
    numpy.testing.assert_allclose(
        found, expected, rtol=0,
        atol=tolerance * max(1, abs(expected).max()))
