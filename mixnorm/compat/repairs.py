"""How modules of Chainer are repaired when they are loaded."""

import contextlib
import functools
import importlib.abc
import importlib.machinery
import sys
import types
import warnings

import numpy


_MISSING = object()


@contextlib.contextmanager
def quiet():
    """Hides warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        yield


def numpy_has(name):
    """Returns whether NumPy has a name."""
    with quiet():  # NumPy warns of names that it is about to lose
        return hasattr(numpy, name)


def numpy_version():
    """Returns the first two numbers of NumPy's version."""
    return tuple(int(part) for part in numpy.__version__.split('.')[:2])


@contextlib.contextmanager
def lent(namespace, **values):
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


class ModuleWith(types.ModuleType):
    """A module as one function of Chainer sees it, some names replaced."""

    def __init__(self, module, **names):
        super().__init__(module.__name__, module.__doc__)
        vars(self).update(names, _module=module)

    def __getattr__(self, name):
        return getattr(self._module, name)


def rebound(function, **names):
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


def repairs_module(name, needed=True):
    """Registers a repair of a module.

    Args:
        name (str): The module of Chainer.
        needed (bool): Whether the running versions need it.

    Returns:
        callable: Decorator of a generator function that takes the module and
        yields once, when the module is to be loaded.

    """
    def register(repair):
        if needed:
            _repairs[name] = contextlib.contextmanager(repair)
            if _finder in sys.meta_path:
                _repair_loaded(name)
        return repair
    return register


def _repair_loaded(name):
    """Repairs a module in place if it is loaded."""
    if name in sys.modules:
        with _repairs[name](sys.modules[name]):
            pass


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


_finder = _Finder()


def import_chainer():
    """Imports Chainer with the repairs that are registered by then."""
    if 'chainer' not in sys.modules and any(
            name.startswith('chainer.') for name in sys.modules):
        raise ImportError(
            'an earlier import of chainer failed and left it half loaded: '
            'start a new Python and import mixnorm first, before chainer')
    for name in _repairs:
        _repair_loaded(name)
    sys.meta_path.insert(0, _finder)
    with warnings.catch_warnings():
        # Chainer's source is older than what Python and NumPy warn of in it.
        for category in (DeprecationWarning, SyntaxWarning):
            warnings.simplefilter('ignore', category)
        # Chainer tries which of these there are; CuPy warns where none is.
        warnings.filterwarnings(
            'ignore', r'\s*(cudnn|nccl) library could not be loaded')
        import chainer  # NOQA
