"""Lets Chainer 7.8.1 run on today's Python, NumPy, SciPy and CuPy.

Chainer's last release is older than NumPy 1.24, CuPy 8, protobuf 4 and a
setuptools without ``pkg_resources``. Importing this module (``import
mixnorm`` does so before anything else) imports Chainer with the repairs
below. Each repair

- belongs to one module of Chainer, and is made when that module is loaded,
- is made only where the running versions need it, and
- changes that module alone: what it lends to NumPy or to ``sys.modules``
  while the module is loaded is taken back afterwards.

Where Chainer had been imported before and works, its loaded modules are
repaired in place. Where its import had failed, importing this module raises
``ImportError``.
"""

import contextlib
import functools
import importlib.abc
import importlib.machinery
import importlib.metadata
import importlib.util
import math
import sys
import types
import warnings

import numpy

from mixnorm import ideep


_MISSING = object()


@contextlib.contextmanager
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        yield


def _numpy_has(name):
    with _quiet():  # NumPy warns of names that it is about to lose
        return hasattr(numpy, name)


def _numpy_version():
    return tuple(int(part) for part in numpy.__version__.split('.')[:2])


# NumPy 2 takes a Python number's precision from the array or NumPy scalar
# beside it (NEP 50); NumPy 1 computed with scalars in double precision.
_SCALARS_STAY_NARROW = (1. * numpy.float16(1)).dtype == numpy.float16


@contextlib.contextmanager
def _lent(namespace, **values):
    """Puts names into a dictionary and takes them back at the end."""
    before = {name: namespace.get(name, _MISSING) for name in values}
    namespace.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is _MISSING:
                namespace.pop(name, None)
            else:
                namespace[name] = value


class _ModuleWith(types.ModuleType):
    """A module as one function of Chainer sees it, some names replaced."""

    def __init__(self, module, **names):
        super().__init__(module.__name__, module.__doc__)
        vars(self).update(names, _module=module)

    def __getattr__(self, name):
        return getattr(self._module, name)


def _rebound(function, **names):
    """The same function with some of its global names replaced.

    One function at a time, because others of the same file compare modules
    by identity (``xp is numpy``).
    """
    copy = types.FunctionType(
        function.__code__, dict(function.__globals__, **names),
        function.__name__, function.__defaults__, function.__closure__)
    return functools.update_wrapper(copy, function)


# A repair is a context manager that is entered around the loading of its
# module of Chainer, or around nothing where that is loaded already.
_repairs = {}


def _repairs_module(name, needed=True):
    def register(repair):
        if needed:
            _repairs[name] = contextlib.contextmanager(repair)
        return repair
    return register


# --- Names that NumPy has lost, or is about to lose --------------------------

@_repairs_module('chainer.functions.array.as_strided',
                 needed=not _numpy_has('sctypes'))
def _sctypes(module):
    """NumPy 2 has no ``sctypes``, which is read on loading and in backward."""
    sctypes = {
        'int': [numpy.int8, numpy.int16, numpy.int32, numpy.int64],
        'float': [numpy.float16, numpy.float32, numpy.float64,
                  numpy.longdouble]}
    with _lent(vars(numpy), sctypes=sctypes):
        yield
    gradient = module.AsStridedGrad
    gradient.forward = _rebound(
        gradient.forward, np=_ModuleWith(numpy, sctypes=sctypes))


@_repairs_module('chainer.functions.array.resize_images',
                 needed=not _numpy_has('float'))
def _float(module):
    """NumPy 1.24 has no ``float``, which ``resize_images`` passes as dtype."""
    yield
    module.compute_indices_and_weights = _rebound(
        module.compute_indices_and_weights,
        numpy=_ModuleWith(numpy, float=float))


@_repairs_module('chainer.distributions.categorical',
                 needed=_numpy_version() >= (2, 0))
def _meshgrid(module):
    """NumPy 2's ``meshgrid`` gives a tuple, to which a list is added."""
    def meshgrid(*args, **kwargs):
        return list(numpy.meshgrid(*args, **kwargs))

    yield
    module.Categorical.log_prob = _rebound(
        module.Categorical.log_prob,
        numpy=_ModuleWith(numpy, meshgrid=meshgrid))


@_repairs_module('chainer.dataset.convert',
                 needed=_numpy_version() >= (2, 4))
def _maximum(module):
    """NumPy 2.4 wants ``maximum``'s third argument by its name, ``out``."""
    def maximum(x1, x2, out):
        return numpy.maximum(x1, x2, out=out)

    yield
    module._concat_arrays_with_padding = _rebound(
        module._concat_arrays_with_padding,
        numpy=_ModuleWith(numpy, maximum=maximum))


@_repairs_module('chainer.functions.math.fix',
                 needed=_numpy_version() >= (2, 5))
def _fix(module):
    """NumPy 2.5 deprecates ``fix`` in favour of ``trunc``."""
    yield
    backend = module.backend

    def get_array_module(*arrays):
        xp = backend.get_array_module(*arrays)
        return _ModuleWith(numpy, fix=numpy.trunc) if xp is numpy else xp

    module.backend = _ModuleWith(backend, get_array_module=get_array_module)


# --- What NumPy 2 does otherwise ---------------------------------------------

@_repairs_module('chainer.variable',
                 needed=hasattr(numpy.ndarray, 'device'))
def _array_device(module):
    """NumPy 2's arrays have a ``device`` of their own, the string ``'cpu'``.

    ``debug_print`` takes it for CuPy's, and an array without one for ``CPU``.
    """
    def getattr_(obj, name, default):
        if name == 'device' and isinstance(obj, numpy.ndarray):
            return default
        return getattr(obj, name, default)

    yield
    module.Variable.debug_print = _rebound(
        module.Variable.debug_print, getattr=getattr_)


@_repairs_module('chainer.reporter', needed=_SCALARS_STAY_NARROW)
def _summary(module):
    """Means of a report are summed up in double precision, as with NumPy 1.

    A sum of float16 losses would stop growing at 2048 times one of them.
    """
    yield
    add = module.Summary.add

    @functools.wraps(add)
    def add_in_double(self, value, weight=1):
        if (isinstance(value, (numpy.ndarray, numpy.generic))
                and isinstance(self._x, float)):
            self._x = numpy.float64(self._x)
            self._x2 = numpy.float64(self._x2)
        add(self, value, weight)

    module.Summary.add = add_in_double


@_repairs_module('chainer.optimizer_hooks.gradient_clipping',
                 needed=_SCALARS_STAY_NARROW)
def _gradient_norm(module):
    """A gradient's norm is summed up in double precision, as with NumPy 1.

    In float16 the sum of squares would overflow at a norm of 256.
    """
    def sum_in_double(values):
        on_host = all(isinstance(value, numpy.generic) for value in values)
        return sum(values, numpy.float64(0) if on_host else 0)

    yield
    module._sum_sqnorm_grads = _rebound(
        module._sum_sqnorm_grads, sum=sum_in_double)


@_repairs_module('chainer.training.extensions.step_shift',
                 needed=_SCALARS_STAY_NARROW)
def _step(module):
    """``numpy.floor`` makes the learning rate a NumPy scalar.

    That has NumPy 2 update float32 parameters in double precision, until a
    snapshot is resumed, which brings the rate back as a Python number.
    """
    yield
    module.StepShift.__call__ = _rebound(
        module.StepShift.__call__,
        numpy=_ModuleWith(numpy, floor=math.floor))


# --- Other packages ----------------------------------------------------------

@_repairs_module('chainer._version',
                 needed=importlib.util.find_spec('cupy') is not None)
def _supported_cupy(module):
    """Every CuPy since 8 is reported as perhaps not compatible."""
    yield
    for dependency in module._optional_dependencies:
        if dependency['name'] == 'CuPy':
            dependency['specifier'] = dependency['specifier'].split(',')[0]


@_repairs_module('chainer._environment_check')
def _environment_check(module):
    """The check loads ``numpy.distutils`` and ``pkg_resources``.

    One or both are gone with Python 3.12, NumPy 2.4 or setuptools 82. All it
    does is to warn of unsuitable packages, so without them it does nothing.
    """
    try:
        with _quiet():  # both warn of their end while they are still there
            yield
    except Exception:
        module.check = lambda: None


@_repairs_module('chainer.backends.cuda')
def _no_cudnn(module):
    """CuPy 14 has no cuDNN binding, and CuPy 13 none for cuDNN 9.

    Chainer then does without, but asks for CuPy to be installed again.
    """
    yield
    if module.available and module._cupy_major > 7:
        module.check_cuda_available._already_warned = True


@_repairs_module('chainer.backends.intel64')
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


@_repairs_module('chainer.functions.normalization.batch_normalization')
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


@_repairs_module('chainer.functions.math.sparse_matmul')
def _sparse_float16(module):
    """SciPy no longer has sparse matrices of float16."""
    yield
    if not module._scipy_available:
        return
    try:
        module.sparse.coo_matrix(numpy.ones((1, 1), numpy.float16))
        return
    except ValueError:
        pass
    coo_matmul = module._coo_matmul_cpu

    @functools.wraps(coo_matmul)
    def coo_matmul_in_single(A_data, A_row, A_col, A_shape, B, dtype):
        if A_data.dtype == numpy.float16:
            A_data = A_data.astype(numpy.float32)
        return coo_matmul(A_data, A_row, A_col, A_shape, B, dtype)

    module._coo_matmul_cpu = coo_matmul_in_single


@_repairs_module('chainer.links.caffe.protobuf3.caffe_pb2')
def _caffe_messages(module):
    """protobuf 4 does not let old generated code build its descriptors.

    By then that code has registered the file that describes them all, from
    which protobuf builds the classes itself.
    """
    try:
        yield
    except TypeError:
        from google.protobuf.internal import builder
        builder.BuildMessageAndEnumDescriptors(
            module.DESCRIPTOR, vars(module))
        builder.BuildTopDescriptorsAndMessages(
            module.DESCRIPTOR, module.__name__, vars(module))


class _ResolutionError(Exception):
    """A requirement that is not met."""


class _WorkingSet:
    """The part of ``pkg_resources.WorkingSet`` that Chainer's tests use."""

    def require(self, *requirements):
        from packaging.requirements import Requirement
        for requirement in map(Requirement, requirements):
            try:
                version = importlib.metadata.version(requirement.name)
            except importlib.metadata.PackageNotFoundError:
                raise _ResolutionError(f'{requirement.name} is not installed')
            if not requirement.specifier.contains(version, prereleases=True):
                raise _ResolutionError(f'{requirement} is required, {version} '
                                       'installed')


@_repairs_module('chainer.testing.helper')
@_repairs_module('chainer.testing.doctest_helper')
def _requirements(module):
    """``chainer.testing`` asks ``pkg_resources`` what is installed."""
    try:
        with _quiet():
            import pkg_resources
    except Exception:
        pkg_resources = types.ModuleType('pkg_resources')
        pkg_resources.WorkingSet = _WorkingSet
        pkg_resources.ResolutionError = _ResolutionError
    with _lent(sys.modules, pkg_resources=pkg_resources):
        yield


# --- Loading Chainer ---------------------------------------------------------

class _Loader(importlib.abc.Loader):
    """A module's own loader, run inside the module's repair."""

    def __init__(self, loader, repair):
        self._loader = loader
        self._repair = repair

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        with self._repair(module):
            self._loader.exec_module(module)

    def __getattr__(self, name):
        return getattr(self._loader, name)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the modules that have a repair, and no others."""

    def find_spec(self, name, path=None, target=None):
        repair = _repairs.get(name)
        if repair is None:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None:
            spec.loader = _Loader(spec.loader, repair)
        return spec


def _import_chainer():
    if 'chainer' not in sys.modules and any(
            name.startswith('chainer.') for name in sys.modules):
        raise ImportError(
            'an earlier import of chainer failed and left it half loaded: '
            'start a new Python and import mixnorm first, before chainer')
    for name, repair in _repairs.items():
        if name in sys.modules:
            with repair(sys.modules[name]):
                pass
    sys.meta_path.insert(0, _Finder())
    with warnings.catch_warnings():
        # Chainer's source is older than what Python and NumPy warn of in it.
        for category in (DeprecationWarning, SyntaxWarning):
            warnings.simplefilter('ignore', category)
        # Chainer tries which of these there are; CuPy warns where none is.
        warnings.filterwarnings(
            'ignore', r'\s*(cudnn|nccl) library could not be loaded')
        import chainer  # NOQA


_import_chainer()
