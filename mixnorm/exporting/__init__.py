"""Chainer's exporter to ONNX learns the functions of this library.

Importing this package loads neither ``onnx`` nor ``onnx_chainer``: when
somebody else loads the latter, the converters beside this file are put where
it looks for them, and what it traces functions with learns what to trace.
"""
from mixnorm.compat.repairs import repairs_module


@repairs_module('onnx_chainer.mapping')
def _learn(module):
    yield
    from mixnorm.exporting import converters
    from mixnorm.exporting import tracing
    module.converters.update(converters.CONVERTERS)
    module.patch_functions = tracing.tracing(module.patch_functions)
