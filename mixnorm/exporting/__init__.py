"""Chainer's exporter to ONNX learns the functions of this library.

Importing this package loads neither ``onnx`` nor ``onnx_chainer``: when
somebody else loads the latter, the converters are put where it looks for
them, and what it traces models with learns what to trace.  The modules beside
this file are loaded when a model is exported.
"""
import importlib

from mixnorm.compat.repairs import repairs_module

# By the names of the functions' nodes: modules beside this file, and what
# they have.
_CONVERTERS = {
    'FixedBatchNormalization': ('batch', 'fixed_batch_normalization'),
    'FixedMixtureNormalization': ('mixture', 'fixed_mixture_normalization'),
    'FixedModeNormalization': ('mode', 'fixed_mode_normalization'),
    'GatedFixedModeNormalization': ('mode', 'gated_fixed_mode_normalization'),
    'GatedModeGroupNormalization': ('mode', 'gated_mode_group_normalization'),
    'GroupNormalization': ('group', 'group_normalization'),
    'ModeGroupNormalization': ('mode', 'mode_group_normalization'),
    'Reshape': ('arrays', 'reshape'),
    '_ZerosForMissingGradients': ('group', 'zeros_for_missing_gradients'),
    'fixed_posterior': ('mixture', 'fixed_posterior'),
}


@repairs_module('onnx_chainer.mapping')
def _learn(mapping):
    yield
    mapping.converters.update({
        node: _later(*where) for node, where in _CONVERTERS.items()})
    tracing = _later('tracing', 'tracing')
    patch_functions = mapping.patch_functions
    mapping.patch_functions = lambda: tracing(patch_functions)


def _later(module, name):
    """Makes a function that loads its module when it is called."""
    def call(*args):
        return getattr(
            importlib.import_module(f'{__name__}.{module}'), name)(*args)

    return call
