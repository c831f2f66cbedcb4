"""iDeep's interface over PyTorch's CPU operators.

Chainer has a place for faster operators on a CPU: iDeep, which ``chainer.
config.use_ideep`` switches on.  Its package, ``ideep4py``, ended with Python
3.7.  This package takes its place: it has the names that Chainer's functions
ask for, and computes by PyTorch, whose convolutions are oneDNN's as iDeep's
were.

Arrays stay NumPy's.  Values equal Chainer's own to rounding.  Arrays of
float32 are taken, of 2 or 4 dimensions, that are not empty; for others Chainer
computes itself, and so it does for convolutions in groups.

The names are iDeep's.  PyTorch is imported when the first operator is used.
"""
import importlib
import importlib.metadata

from mixnorm.ideep.arrays import (
    array, basic_copyto, check_ndim, check_type, get_array_module, mdarray,
    wgt_array)

__all__ = [
    'array',
    'basic_copyto',
    'check_ndim',
    'check_type',
    'get_array_module',
    'mdarray',
    'reason_unavailable',
    'wgt_array',
]

# The oldest PyTorch that is built for NumPy 2.
_OLDEST_TORCH = (2, 3)

_MODULES = {
    'batchNormalization': 'batch_normalization',
    'concat': 'concatenation',
    'convolution2D': 'convolution',
    'convolution2DParam': 'convolution',
    'dropout': 'noise',
    'intVector': 'concatenation',
    'linear': 'affine',
    'localResponseNormalization': 'local_response_normalization',
    'localResponseNormalizationParam': 'local_response_normalization',
    'mdarrayVector': 'concatenation',
    'multi_add': 'addition',
    'pooling2D': 'pooling',
    'pooling2DParam': 'pooling',
    'relu': 'rectifier',
}


def __getattr__(name):
    if name == '__version__':
        return f"PyTorch {importlib.metadata.version('torch')}"
    if name not in _MODULES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    module = importlib.import_module(f'mixnorm.ideep.{_MODULES[name]}')
    return globals().setdefault(name, getattr(module, name))


def reason_unavailable():
    """Returns why these operators cannot be used, without importing PyTorch.

    Returns:
        ImportError or None: What is missing and how to install it; ``None``
        where nothing is.

    """
    try:
        version = importlib.metadata.version('torch')
    except (importlib.metadata.PackageNotFoundError, KeyError, TypeError):
        # What an installation that was broken off leaves behind has no
        # version, which is None or an error of the package
        # importlib_metadata, where that is imported.
        version = None
    if version is None:
        found = 'not installed'
    elif tuple(map(int, version.split('.')[:2])) >= _OLDEST_TORCH:
        return None
    else:
        found = f'{version} here'
    oldest = '.'.join(map(str, _OLDEST_TORCH))
    return ImportError(f"PyTorch {oldest} or newer is needed, and is {found}: "
                       "pip install 'mixnorm[cpu]'")
