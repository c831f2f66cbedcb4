"""Packages that have changed since Chainer, or are gone."""

import functools
import importlib.metadata
import importlib.util
import sys
import types

import numpy

from mixnorm.compat.repairs import (
    lent, ModuleWith, quiet, rebound, repairs_module)


@repairs_module('chainer._version',
                needed=importlib.util.find_spec('cupy') is not None)
def _supported_cupy(module):
    """Every CuPy since 8 is reported as perhaps not compatible."""
    yield
    for dependency in module._optional_dependencies:
        if dependency['name'] == 'CuPy':
            dependency['specifier'] = dependency['specifier'].split(',')[0]


@repairs_module('chainer._environment_check')
def _environment_check(module):
    """The check loads ``numpy.distutils`` and ``pkg_resources``.

    One or both are gone with Python 3.12, NumPy 2.4 or setuptools 82. All it
    does is to warn of unsuitable packages, so without them it does nothing.
    """
    try:
        with quiet():  # both warn of their end while they are still there
            yield
    except Exception:
        module.check = lambda: None


@repairs_module('chainer.backends.cuda')
def _no_cudnn(module):
    """CuPy 14 has no cuDNN binding, and CuPy 13 none for cuDNN 9.

    Chainer then does without, but asks for CuPy to be installed again.
    """
    yield
    if module.available and module._cupy_major > 7:
        module.check_cuda_available._already_warned = True


@repairs_module('chainer.functions.math.sparse_matmul')
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


@repairs_module('chainer.serializers.hdf5')
def _hdf5_strings(module):
    """h5py 3 reads strings as bytes, of which ``str`` makes ``"b'...'"``."""
    yield
    if not module._available or not hasattr(module.h5py.Dataset, 'asstr'):
        return
    h5py = module.h5py

    def asarray(a, dtype=None):
        if isinstance(a, h5py.Dataset):
            # Others have always been read as bytes: ASCII, fixed lengths.
            if h5py.check_string_dtype(a.dtype) == ('utf-8', None):
                a, dtype = a.asstr()[()], object
        return numpy.asarray(a, dtype)

    deserializer = module.HDF5Deserializer
    deserializer.__call__ = rebound(
        deserializer.__call__, numpy=ModuleWith(numpy, asarray=asarray))


@repairs_module('chainer.links.caffe.protobuf3.caffe_pb2')
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


@repairs_module('chainer.testing.helper')
@repairs_module('chainer.testing.doctest_helper')
def _requirements(module):
    """``chainer.testing`` asks ``pkg_resources`` what is installed."""
    try:
        with quiet():
            import pkg_resources
    except Exception:
        pkg_resources = types.ModuleType('pkg_resources')
        pkg_resources.WorkingSet = _WorkingSet
        pkg_resources.ResolutionError = _ResolutionError
    with lent(sys.modules, pkg_resources=pkg_resources):
        yield
