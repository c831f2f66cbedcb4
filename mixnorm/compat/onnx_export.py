"""Chainer's exporter to ONNX, with an onnx of today."""

import sys
import types

import numpy

from mixnorm.compat.repairs import (
    lent, ModuleWith, rebound, repairs_module)


# The version of ONNX's file format that has all that Chainer exports. onnx
# would write its own, which an onnxruntime of the same day may not read.
_IR_VERSION = 8

_DTYPES = (
    'bool', 'int8', 'int16', 'int32', 'int64', 'uint8', 'uint16', 'uint32',
    'uint64', 'float16', 'float32', 'float64', 'complex64', 'complex128')


def _mapping():
    """Makes ``onnx.mapping``, which is gone since onnx 1.19."""
    from onnx import helper
    tensor_types = {
        dtype: helper.np_dtype_to_tensor_dtype(dtype)
        for dtype in map(numpy.dtype, _DTYPES)}
    mapping = types.ModuleType('onnx.mapping')
    mapping.NP_TYPE_TO_TENSOR_TYPE = tensor_types
    # Where a tensor has its values, if each takes one place as it is.
    mapping.STORAGE_TENSOR_TYPE_TO_FIELD = {
        tensor_type: helper.tensor_dtype_to_field(tensor_type)
        for dtype, tensor_type in tensor_types.items()
        if dtype.kind != 'c' and dtype != numpy.float16}
    return mapping


def _make_graph(nodes, name, inputs, outputs, initializer):
    """Makes a graph that holds the parameters of a shared link once."""
    from onnx import helper
    inputs, initializer = (
        list({value.name: value for value in values}.values())
        for values in (inputs, initializer))
    return helper.make_graph(nodes, name, inputs, outputs, initializer)


@repairs_module('onnx_chainer.export')
def _exporter(module):
    """Two of its tables are gone, and it writes the newest format.

    It also writes a parameter as often as it has a path, and running averages
    as often as they are used, all under one name.
    """
    try:
        import onnx
        mapping = _mapping()
    except (ImportError, AttributeError):
        # No onnx, or one that is older than what replaces its tables.
        yield
    else:
        with lent(sys.modules, **{'onnx.mapping': mapping}):
            yield
        module._export = rebound(
            module._export,
            onnx=ModuleWith(onnx, IR_VERSION=_IR_VERSION),
            helper=ModuleWith(onnx.helper, make_graph=_make_graph))
        context = sys.modules['onnx_chainer.context']
        context._tensor_from_array_for_constant = rebound(
            context._tensor_from_array_for_constant,
            onnx=ModuleWith(onnx, mapping=mapping))

    def check_available():
        if not module._available:
            raise ImportError(
                'exporting to ONNX needs the package onnx: '
                'pip install mixnorm[onnx]')

    module._check_available = check_available
