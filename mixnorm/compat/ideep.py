"""The place that Chainer has for iDeep."""

import functools

import numpy

from mixnorm import ideep
from mixnorm.compat.repairs import repairs_module


@repairs_module('chainer.backends.intel64')
def _ideep(module):
    """iDeep's package ended with Python 3.7; :mod:`mixnorm.ideep` replaces it.

    Where ``use_ideep`` is ``'always'`` and it cannot be used, Chainer would
    compute by NumPy without a word.
    """
    yield
    if module._ideep_version is not None:
        return
    module._error = ideep.reason_unavailable()
    if module._error is None:
        module._ideep_version = 2
        module.ideep = ideep
        module.mdarray = ideep.mdarray
        module.Intel64Device.supported_array_types = (
            numpy.ndarray, ideep.mdarray)
        return
    should_use_ideep = module.should_use_ideep

    @functools.wraps(should_use_ideep)
    def should_use_ideep_or_raise(level):
        if module.config.use_ideep == 'always':
            module.check_ideep_available()
        return should_use_ideep(level)

    module.should_use_ideep = should_use_ideep_or_raise


@repairs_module('chainer.functions.normalization.batch_normalization')
def _ideep_axis(module):
    """Chainer hands iDeep points whose channels are not its second axis."""
    yield
    mode = module._BNMode
    init = mode.__init__

    @functools.wraps(init)
    def init_with_axis(self, x, gamma, key_axis, *args, **kwargs):
        init(self, x, gamma, key_axis, *args, **kwargs)
        self.ideep_ok = self.ideep_ok and tuple(key_axis) == (1,)

    mode.__init__ = init_with_axis
