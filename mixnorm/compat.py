"""Lets Chainer 7.8.1 run on today's Python, NumPy, setuptools and CuPy.

Chainer's last release knows nothing of NumPy 1.24 and later, of CuPy 8 and
later, or of a setuptools without ``pkg_resources``. Importing this module
(``import mixnorm`` does so before anything else) imports Chainer with the
repairs below. Each repair

- belongs to one module of Chainer and runs around that module's own import,
- is made only where the running versions need it,
- changes that module of Chainer and nothing else for good: what it lends to
  NumPy or to ``sys.modules`` is taken back when the module has been loaded.

Where Chainer had already been imported successfully, its loaded modules are
repaired in place.
"""

import contextlib
import functools
import importlib.abc
import importlib.machinery
import importlib.metadata
import importlib.util
import sys
import types
import warnings

import numpy

_MISSING = object()


def _numpy_has(name):
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # NumPy's own deprecation notes
        return hasattr(numpy, name)


def _has_pkg_resources():
    return importlib.util.find_spec('pkg_resources') is not None


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


class _NumPyWith(types.ModuleType):
    """NumPy with names that it has lost."""

    def __init__(self, **names):
        super().__init__('numpy', numpy.__doc__)
        vars(self).update(names)

    def __getattr__(self, name):
        return getattr(numpy, name)


def _rebound(function, **names):
    """The same function with some of its module's global names replaced.

    One function at a time, because others of the same module compare
    modules by identity (``xp is numpy``).
    """
    copy = types.FunctionType(
        function.__code__, dict(function.__globals__, **names),
        function.__name__, function.__defaults__, function.__closure__)
    return functools.update_wrapper(copy, function)


class _ResolutionError(Exception):
    """A requirement that is not met."""


class _WorkingSet(object):
    """The part of ``pkg_resources.WorkingSet`` that Chainer's tests use."""

    def require(self, *requirements):
        from packaging.requirements import Requirement
        for requirement in map(Requirement, requirements):
            try:
                version = importlib.metadata.version(requirement.name)
            except importlib.metadata.PackageNotFoundError:
                raise _ResolutionError('{} is not installed'.format(
                    requirement.name))
            if not requirement.specifier.contains(version, prereleases=True):
                raise _ResolutionError('{} {} is installed'.format(
                    requirement, version))


# Every repair is a context manager around the execution of a module of
# Chainer; with a module that is already loaded, around nothing.
_repairs = {}


def _repairs_module(name, needed):
    def register(repair):
        if needed:
            _repairs[name] = contextlib.contextmanager(repair)
        return repair
    return register


@_repairs_module('chainer.functions.array.as_strided',
                 needed=not _numpy_has('sctypes'))
def _as_strided(module):
    """NumPy 2 has no ``sctypes``, which is read on import and in backward."""
    sctypes = {
        'int': [numpy.int8, numpy.int16, numpy.int32, numpy.int64],
        'float': [numpy.float16, numpy.float32, numpy.float64,
                  numpy.longdouble]}
    with _lent(vars(numpy), sctypes=sctypes):
        yield
    module.AsStridedGrad.forward = _rebound(
        module.AsStridedGrad.forward, np=_NumPyWith(sctypes=sctypes))


@_repairs_module('chainer.functions.array.resize_images',
                 needed=not _numpy_has('float'))
def _resize_images(module):
    """NumPy 1.24 has no ``float``, which ``resize_images`` passes as dtype."""
    yield
    module.compute_indices_and_weights = _rebound(
        module.compute_indices_and_weights, numpy=_NumPyWith(float=float))


@_repairs_module('chainer._environment_check', needed=True)
def _environment_check(module):
    """The check needs ``numpy.distutils`` and ``pkg_resources``.

    One or both are gone with Python 3.12, NumPy 2 or setuptools 81. The
    check only warns (of macOS's Accelerate and of other versions of CuPy and
    iDeep), so without them there is none.
    """
    try:
        yield
    except Exception:
        module.check = lambda: None


@_repairs_module('chainer.testing.helper', needed=not _has_pkg_resources())
@_repairs_module('chainer.testing.doctest_helper',
                 needed=not _has_pkg_resources())
def _testing_requirements(module):
    """``with_requires`` and its like ask ``pkg_resources`` what is installed.
    """
    stand_in = types.ModuleType('pkg_resources')
    stand_in.WorkingSet = _WorkingSet
    stand_in.ResolutionError = _ResolutionError
    with _lent(sys.modules, pkg_resources=stand_in):
        yield


@_repairs_module('chainer.links.caffe.protobuf3.caffe_pb2', needed=True)
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


class _Loader(importlib.abc.Loader):
    """Runs a module's own loader inside the module's repair."""

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

    def find_spec(self, name, path=None, target=None):
        repair = _repairs.get(name)
        if repair is None:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None:
            spec.loader = _Loader(spec.loader, repair)
        return spec


def _install():
    if 'chainer' not in sys.modules and any(
            name.startswith('chainer.') for name in sys.modules):
        raise ImportError(
            'Chainer was imported before mixnorm and its import failed, '
            'which leaves it half loaded: start a new interpreter and '
            'import mixnorm first, then chainer')
    for name, repair in _repairs.items():
        if name in sys.modules:
            with repair(sys.modules[name]):
                pass
    sys.meta_path.insert(0, _Finder())
    with warnings.catch_warnings():
        # Chainer's source is older than the Pythons that object to it.
        warnings.simplefilter('ignore')
        import chainer  # NOQA


_install()
