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


@repairs_module('chainer.functions.pooling.max_pooling_nd')
def _ideep_maxima(module):
    """Chainer gives iDeep's positions to callers who ask for an array.

    Where the forward pass made an array of them, its gradient by iDeep calls
    itself for ever.
    """
    yield
    pooling = module.MaxPoolingND
    forward = pooling._forward_2d_ideep

    @functools.wraps(forward)
    def forward_with_array(self, x):
        y = forward(self, x)
        if self.return_indices:
            self.indexes = numpy.asarray(self.indexes)
        return y

    pooling._forward_2d_ideep = forward_with_array
    _without_ideep_unless(
        module.MaxPoolingNDGrad,
        lambda node: isinstance(node.func.indexes, module.intel64.mdarray))


@repairs_module('chainer.functions.pooling.average_pooling_2d')
def _ideep_means(module):
    """Chainer's gradient takes an input that only iDeep's forward retains."""
    yield
    _without_ideep_unless(
        module.AveragePooling2DGrad,
        lambda node: node.apool2d.get_retained_inputs())


def _without_ideep_unless(node_class, condition):
    """Has nodes of a class that miss a condition compute without iDeep."""
    from chainer.configuration import using_config
    forward = node_class.forward_cpu

    @functools.wraps(forward)
    def forward_by_either(self, inputs):
        if condition(self):
            return forward(self, inputs)
        with using_config('use_ideep', 'never'):
            return forward(self, inputs)

    node_class.forward_cpu = forward_by_either
