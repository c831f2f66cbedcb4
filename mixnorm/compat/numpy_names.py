"""Names that NumPy has lost, or is about to lose."""

import numpy

from mixnorm.compat.lost_names import SCTYPES
from mixnorm.compat.repairs import (
    lent, ModuleWith, numpy_has, numpy_version, rebound, repairs_module)


@repairs_module('chainer.functions.array.as_strided',
                needed=not numpy_has('sctypes'))
def _sctypes(module):
    """NumPy 2 has no ``sctypes``, which is read on loading and in backward."""
    with lent(vars(numpy), sctypes=SCTYPES):
        yield
    gradient = module.AsStridedGrad
    gradient.forward = rebound(
        gradient.forward, np=ModuleWith(numpy, sctypes=SCTYPES))


@repairs_module('chainer.functions.array.resize_images',
                needed=not numpy_has('float'))
def _float(module):
    """NumPy 1.24 has no ``float``, which ``resize_images`` passes as dtype."""
    yield
    module.compute_indices_and_weights = rebound(
        module.compute_indices_and_weights,
        numpy=ModuleWith(numpy, float=float))


@repairs_module('chainer.distributions.categorical',
                needed=numpy_version() >= (2, 0))
def _meshgrid(module):
    """NumPy 2's ``meshgrid`` gives a tuple, to which a list is added."""
    def meshgrid(*args, **kwargs):
        return list(numpy.meshgrid(*args, **kwargs))

    yield
    module.Categorical.log_prob = rebound(
        module.Categorical.log_prob,
        numpy=ModuleWith(numpy, meshgrid=meshgrid))


@repairs_module('chainer.dataset.convert',
                needed=numpy_version() >= (2, 4))
def _maximum(module):
    """NumPy 2.4 wants ``maximum``'s third argument by its name, ``out``."""
    def maximum(x1, x2, out):
        return numpy.maximum(x1, x2, out=out)

    yield
    module._concat_arrays_with_padding = rebound(
        module._concat_arrays_with_padding,
        numpy=ModuleWith(numpy, maximum=maximum))


@repairs_module('chainer.functions.math.fix',
                needed=numpy_version() >= (2, 5))
def _fix(module):
    """NumPy 2.5 deprecates ``fix`` in favour of ``trunc``."""
    yield
    backend = module.backend

    def get_array_module(*arrays):
        xp = backend.get_array_module(*arrays)
        return ModuleWith(numpy, fix=numpy.trunc) if xp is numpy else xp

    module.backend = ModuleWith(backend, get_array_module=get_array_module)
