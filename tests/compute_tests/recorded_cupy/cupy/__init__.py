"""CuPy in main memory that records what a GPU and its driver would be asked.

An array is NumPy's, of a class that counts.  What a GPU would do is counted as

* ``launches``: kernels, one for each call of an elementwise function, a
  reduction or an own kernel;
* ``memsets`` and ``copies``;
* ``allocations``: memory that the driver is asked for, because no free block
  of CuPy's pool has the size.  Blocks are not split, as CuPy's are: it counts
  rather more than there are;
* ``synchronizations``: whatever brings a value to the host, and a sort, for
  which CuPy's Thrust waits;
* ``strays``: what touches arrays of another device than the current one.

Arrays of NumPy and of CuPy are not to be mixed: that is an error, as it is in
CuPy.  Only what the tests need is here.
"""
import collections
import functools
import sys
import types
import weakref

import numpy

__version__ = '13.0.0'

float16, float32, float64 = numpy.float16, numpy.float32, numpy.float64
int32, int64, bool_ = numpy.int32, numpy.int64, numpy.bool_
newaxis = None

_VIEWS = {'reshape', 'transpose', 'broadcast_to', 'moveaxis', 'swapaxes',
          'shape', 'ndim', 'rollaxis', 'expand_dims', 'squeeze', 'ravel',
          'may_share_memory', 'shares_memory', 'result_type'}


class Recorder:

    """Counts operations by kind and name.

    Attributes:
        counts (collections.Counter): By ``(kind, name)``.
        memory (numpy.ndarray or None): If given, what all arrays made from
            now on lie in, one over another, and nothing is computed: what is
            left is the host's own time.
        run (callable or None): Runs an own kernel; takes the options of its
            module, its name, grid, bytes of shared memory, arguments, and
            whether the launch is cooperative.

    """

    def __init__(self):
        self.counts = collections.Counter()
        self.run = None
        self.memory = None
        self._free = collections.Counter()

    def add(self, kind, name, arrays=()):
        self.counts[kind, name] += 1
        if self.memory is not None:
            return
        for array in _flat(arrays):
            if array.device != Device():
                self.counts['strays', name] += 1

    def free_all_blocks(self):
        """Gives the driver back what of the pool is free."""
        self._free.clear()

    def allocate(self, array):
        """Takes a block of the pool for an array, until it is no more."""
        size = -(-array.nbytes // 512)
        if size == 0 or self.memory is not None:
            return
        if self._free[size]:
            self._free[size] -= 1
        else:
            self.add('allocations', f'{512 * size} bytes')
        weakref.finalize(array, self._release, size)

    def _release(self, size):
        self._free[size] += 1


recorder = Recorder()


def _flat(value):
    """Yields the arrays in nested tuples and lists."""
    if isinstance(value, ndarray):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _flat(item)


def _host(value):
    """Returns the arrays in an argument as NumPy sees them."""
    if isinstance(value, ndarray):
        return value.view(numpy.ndarray)
    if isinstance(value, numpy.ndarray):
        raise TypeError('an array of NumPy among those of CuPy')
    if isinstance(value, (tuple, list)):
        return type(value)(map(_host, value))
    return value


def _device(value, fresh=True):
    """Makes an array of the device of a result."""
    if isinstance(value, tuple):
        return tuple(_device(item, fresh) for item in value)
    if not isinstance(value, (numpy.ndarray, numpy.generic)):
        return value
    if fresh and isinstance(value, numpy.generic):
        value = numpy.array(value)
    if fresh:
        value = _own(value)
        recorder.allocate(value)
    return value.view(ndarray)


class _Memory(numpy.ndarray):

    """What views are views of; it can be referred to weakly.

    Attributes:
        lies_on (Device): The GPU.

    """


def _own(array):
    array = array.view(_Memory)
    array.lies_on = Device()
    return array


def _unset(shape, dtype):
    """Makes an array of the device of what happens to be there."""
    if recorder.memory is not None:
        return ndarray(shape, dtype, recorder.memory)
    return _device(numpy.empty(shape, dtype))


def _unset_result(ufunc, method, inputs, axis=None, keepdims=False,
                  dtype=None, **kwargs):
    shape = numpy.broadcast_shapes(*map(numpy.shape, inputs))
    if method == 'reduce':
        shape = _reduced(shape, axis, keepdims)
    return _unset(shape, dtype or numpy.result_type(*(
        z.dtype if isinstance(z, ndarray) else z for z in inputs)))


def _reduced(shape, axis=None, keepdims=False):
    """Returns the shape of a reduction."""
    axes = range(len(shape)) if axis is None else (
        axis if isinstance(axis, tuple) else (axis,))
    axes = {a % len(shape) for a in axes}
    return tuple(1 if i in axes else n for i, n in enumerate(shape)
                 if keepdims or i not in axes)


_Pointer = collections.namedtuple('_Pointer', 'ptr')


class ndarray(numpy.ndarray):

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **kwargs):
        arrays = tuple(map(_host, inputs))
        recorder.add('launches', ufunc.__name__, (inputs, out))
        if recorder.memory is not None and ufunc.signature is None:
            return out[0] if out else _unset_result(
                ufunc, method, inputs, **kwargs)
        if 'where' in kwargs:
            kwargs['where'] = _host(kwargs['where'])
        if out is not None:
            getattr(ufunc, method)(
                *arrays, out=_host(out), **kwargs)
            return out if len(out) > 1 else out[0]
        return _device(getattr(ufunc, method)(*arrays, **kwargs))

    def __array_function__(self, func, types, args, kwargs):
        name = func.__name__
        result = func(*_host(args), **{
            key: _host(value) for key, value in kwargs.items()})
        if name in _VIEWS:
            return _device(result, False)
        recorder.add('launches', name, (args, list(kwargs.values())))
        if name in ('argsort', 'sort'):
            recorder.add('synchronizations', name)
        return _device(result)

    @property
    def device(self):
        if recorder.memory is not None:
            return _timed_device
        array = self.base
        while isinstance(array, numpy.ndarray):
            if isinstance(array, _Memory):
                return array.lies_on
            array = array.base
        return Device()

    @property
    def data(self):
        return _Pointer(self.__array_interface__['data'][0])

    def _method(name, kind='launches'):
        plain = getattr(numpy.ndarray, name)

        @functools.wraps(plain)
        def method(self, *args, **kwargs):
            out = kwargs.pop('out', None)
            if recorder.memory is not None and name in (
                    'sum', 'mean', 'var', 'max', 'all'):
                recorder.add(kind, name, self)
                dtype = kwargs.pop('dtype', None) or self.dtype
                return _unset(_reduced(self.shape, *args, **kwargs), dtype)
            result = plain(_host(self), *_host(args), **kwargs)
            recorder.add(kind, name, (self, args, out))
            if name == 'argsort':
                recorder.add('synchronizations', name)
            if out is not None:
                out.view(numpy.ndarray)[...] = result
                return out
            return _device(numpy.asarray(result))
        return method

    for _name in ('sum', 'mean', 'var', 'max', 'min', 'all', 'any', 'argmax',
                  'argmin', 'argsort', 'take', 'repeat', 'cumsum', 'prod',
                  'dot', 'clip'):
        locals()[_name] = _method(_name)
    copy = _method('copy', 'copies')
    del _name, _method

    def astype(self, dtype, order='K', casting=None, subok=None, copy=True):
        if not copy and self.dtype == dtype:
            return self
        recorder.add('launches', 'astype', self)
        if recorder.memory is not None:
            return _unset(self.shape, dtype)
        return _device(_host(self).astype(dtype))

    def fill(self, value):
        recorder.add('launches', 'fill', self)
        _host(self)[...] = _host(value)

    def __getitem__(self, index):
        parts = index if isinstance(index, tuple) else (index,)
        if any(isinstance(part, (numpy.ndarray, list)) for part in parts):
            recorder.add('launches', 'getitem', (self, index))
            return _device(_host(self)[_host(index)])
        result = _host(self)[index]
        if not isinstance(result, numpy.ndarray):  # CuPy's stay arrays
            result = _host(self)[index + (...,) if isinstance(
                index, tuple) else (index, ...)]
        return result.view(ndarray)

    def __setitem__(self, index, value):
        recorder.add('launches', 'setitem', (self, index, value))
        _host(self)[_host(index)] = _host(value)

    def scatter_add(self, index, value):
        recorder.add('launches', 'scatter_add', (self, index, value))
        numpy.add.at(_host(self), _host(index), _host(value))

    def _wait(name, convert):
        def method(self, *args):
            recorder.add('synchronizations', name)
            return convert(_host(self), *args)
        return method

    __bool__ = _wait('bool', bool)
    __float__ = _wait('float', float)
    __int__ = _wait('int', int)
    __index__ = _wait('index', int)
    item = _wait('item', numpy.ndarray.item)
    tolist = _wait('tolist', numpy.ndarray.tolist)
    del _wait

    def get(self, stream=None, order='C', out=None):
        recorder.add('synchronizations', 'get')
        recorder.add('copies', 'get')
        return numpy.array(_host(self))

    def set(self, array, stream=None):
        recorder.add('copies', 'set')
        _host(self)[...] = array

    def __array__(self, *args, **kwargs):
        raise TypeError('CuPy does not turn into NumPy by itself')

    __hash__ = None


def empty(shape, dtype=float, order='C'):
    return _unset(shape, dtype)


def zeros(shape, dtype=float, order='C'):
    recorder.add('memsets', 'zeros')
    return _unset(shape, dtype) if recorder.memory is not None else _device(
        numpy.zeros(shape, dtype, order))


def ones(shape, dtype=float):
    return full(shape, 1, dtype)


def full(shape, value, dtype=None):
    recorder.add('launches', 'fill')
    return _device(numpy.full(shape, _host(value), dtype))


def empty_like(array, dtype=None):
    return _unset(array.shape, dtype or array.dtype)


def zeros_like(array, dtype=None):
    recorder.add('memsets', 'zeros')
    return _device(numpy.zeros_like(_host(array), dtype=dtype))


def ones_like(array, dtype=None):
    return full(array.shape, 1, dtype or array.dtype)


def full_like(array, value, dtype=None):
    return full(array.shape, value, dtype or array.dtype)


def asarray(array, dtype=None, order=None):
    return _to_device(array, dtype, False)


def array(array, dtype=None, copy=True, order='K', subok=False, ndmin=0):
    return _to_device(array, dtype, copy)


def _to_device(array, dtype, copy):
    if isinstance(array, ndarray):
        if dtype is not None and array.dtype != dtype:
            return array.astype(dtype)
        return array.copy() if copy else array
    recorder.add('copies', 'to the device')
    return _device(numpy.array(array, dtype))


def ascontiguousarray(array, dtype=None):
    if dtype is not None and array.dtype != dtype:
        array = array.astype(dtype)
    if array.flags.c_contiguous:
        return array
    recorder.add('launches', 'copy', array)
    return _device(numpy.ascontiguousarray(_host(array)))


def asnumpy(array, stream=None, order='C', out=None):
    return array.get() if isinstance(array, ndarray) else numpy.asarray(array)


def get_array_module(*args):
    for arg in args:
        if isinstance(arg, ndarray):
            return sys.modules[__name__]
    return numpy


def memoize(for_each_device=False):
    return functools.lru_cache(maxsize=None)


def fuse(*args, **kwargs):
    return lambda function: function


def __getattr__(name):
    if name.startswith('__'):
        raise AttributeError(name)
    return getattr(numpy, name)


# --- Kernels -----------------------------------------------------------------

class RawModule:

    """The own kernels of one source."""

    def __init__(self, *, code, options, **kwargs):
        self._options = options

    def get_function(self, name):
        return RawKernel(self._options, name)


class RawKernel:

    """An own kernel."""

    max_dynamic_shared_size_bytes = 48 << 10
    shared_size_bytes = 6 << 10

    def __init__(self, options, name):
        self._options = options
        self.name = name
        self.kernel = self
        self.ptr = 0

    def __call__(self, grid, block, arguments, *, shared_mem=0,
                 enable_cooperative_groups=False):
        recorder.add('launches', self.name, arguments)
        if recorder.run is not None:
            recorder.run(
                self._options, self.name, grid, shared_mem,
                tuple(map(_host, arguments)), enable_cooperative_groups)


class ElementwiseKernel:

    """One of Chainer's kernels, which leaves its results unset."""

    def __init__(self, in_params, out_params, operation, name='kernel',
                 *args, **kwargs):
        self._n_in = in_params.count(',') + bool(in_params.strip())
        self._outs = [p.split()[0] for p in out_params.split(',')]
        self._types = [p.split()[:1] for p in in_params.split(',')]
        self.name = name

    def __call__(self, *args, size=None, axis=None, keepdims=False):
        recorder.add('launches', self.name, args)
        if len(args) > self._n_in:
            outs = args[self._n_in:]
            return outs if len(outs) > 1 else outs[0]
        arrays = [arg for arg in args if isinstance(arg, ndarray)]
        shape = self._shape(arrays, axis, keepdims)
        outs = tuple(empty(shape, arrays[0].dtype) for _ in self._outs)
        return outs if len(outs) > 1 else outs[0]

    def _shape(self, arrays, axis, keepdims):
        return numpy.broadcast_shapes(*(z.shape for z in arrays))


class ReductionKernel(ElementwiseKernel):

    """One of Chainer's reductions, which leaves its results unset."""

    def __init__(self, in_params, out_params, map_expr, reduce_expr,
                 post_map_expr, identity, name='reduction', *args, **kwargs):
        super().__init__(in_params, out_params, map_expr, name)

    def _shape(self, arrays, axis, keepdims):
        return _reduced(super()._shape(arrays, axis, keepdims), axis,
                        keepdims)


# --- The device --------------------------------------------------------------

class Device:

    """One of two GPUs.

    Args:
        device (int or Device): Its number; the current one's if ``None``.

    """

    attributes = {'MultiProcessorCount': 132, 'CooperativeLaunch': 1,
                  'MaxSharedMemoryPerBlockOptin': 227 << 10}

    _current = 0

    def __init__(self, device=None):
        self.id = Device._current if device is None else int(device)
        self._before = []

    def __enter__(self):
        self._before.append(Device._current)
        self.use()
        return self

    def __exit__(self, *args):
        Device._current = self._before.pop()

    def __int__(self):
        return self.id

    def __eq__(self, other):
        return isinstance(other, Device) and self.id == other.id

    def __ne__(self, other):
        return not self == other

    def __hash__(self):
        return self.id

    def use(self):
        Device._current = self.id

    def synchronize(self):
        recorder.add('synchronizations', 'device')


# What all arrays lie on while the host is timed.
_timed_device = Device(0)


class Event:

    def synchronize(self):
        recorder.add('synchronizations', 'event')


class Stream:

    ptr = 0

    def record(self):
        return Event()

    def synchronize(self):
        recorder.add('synchronizations', 'stream')


Stream.null = Stream()


def _memcpy_async(to, source, size, kind, stream):
    import ctypes
    recorder.add('copies', 'to the host')
    ctypes.memmove(to, source, size)


class _Pool:

    def free_all_blocks(self):
        recorder.free_all_blocks()


def get_default_memory_pool():
    return _Pool()


def get_default_pinned_memory_pool():
    return _Pool()


def _module(name, **attributes):
    module = types.ModuleType(f'{__name__}.{name}')
    vars(module).update(attributes)
    sys.modules[module.__name__] = module
    return module


cuda = _module(
    'cuda', Device=Device, Event=Event, Stream=Stream, get_current_stream=(
        lambda: Stream.null),
    cublas=_module('cuda.cublas'),
    driver=_module('cuda.driver', occupancyMaxActiveBlocksPerMultiprocessor=(
        lambda function, n_threads, shared: 2)),
    runtime=_module(
        'cuda.runtime', getDevice=lambda: Device().id,
        getDeviceCount=lambda: 2,
        memcpyDeviceToHost=2, memcpyAsync=_memcpy_async))
_util = _module('_util', PerformanceWarning=type(
    'PerformanceWarning', (Warning,), {}))
random = _module('random')
