import gc
import os
import threading

import numpy
import pytest

import mixnorm  # NOQA: lets Chainer run here
import chainer

from mixnorm.compute import memory

_MEGABYTE = 1 << 20


@pytest.fixture(autouse=True)
def afresh(monkeypatch):
    monkeypatch.setattr(memory, '_outputs', memory._Outputs())


def _address(array):
    return array.__array_interface__['data'][0]


@pytest.mark.parametrize('dtype', ['e', 'f', 'd'])
@pytest.mark.parametrize('size', [0, 1, 1000, 3 * _MEGABYTE])
def test_size_and_dtype(size, dtype):
    array = memory.output(size, dtype)
    assert array.shape == (size,)
    assert array.dtype == numpy.dtype(dtype)
    assert array.flags.aligned and array.flags.writeable
    array[...] = 1


def test_what_is_gone_is_taken_again():
    first = memory.output(_MEGABYTE, 'f')
    address = _address(first)
    del first
    assert _address(memory.output(_MEGABYTE, 'f')) == address
    # Its bytes count, not its type.
    assert _address(memory.output(_MEGABYTE // 2, 'd')) == address


def test_what_is_there_is_left_alone():
    arrays = []
    for i in range(12):
        arrays.append(memory.output(_MEGABYTE, 'f'))
        arrays[-1][...] = i
    for i, array in enumerate(arrays):
        assert (array == i).all()


@pytest.mark.parametrize('view', [
    lambda z: z[5:7],
    lambda z: z.reshape(4, -1).T[1:, ::2],
    lambda z: z.view('i'),
    lambda z: z[0:1].view(numpy.recarray),
    lambda z: numpy.broadcast_to(z[:1], (5,)),
    lambda z: numpy.lib.stride_tricks.as_strided(z, (3,), (8,)),
    lambda z: numpy.asarray(memoryview(z)),
    lambda z: numpy.frombuffer(z, 'f', 10),
    lambda z: numpy.nditer(z).itviews[0],
    lambda z: chainer.Variable(z).reshape(2, -1).array,
    lambda z: iter(z),
    lambda z: z.flat,
], ids=str)
def test_a_view_keeps_memory(view):
    array = memory.output(_MEGABYTE, 'f')
    array[...] = 7
    address = _address(array)
    kept = view(array)
    del array
    gc.collect()
    other = memory.output(_MEGABYTE, 'f')
    assert _address(other) != address
    del kept, other
    gc.collect()
    addresses = []
    for _ in range(2):
        addresses.append(memory.output(_MEGABYTE, 'f'))
    assert address in map(_address, addresses)


def test_keeps_no_more_than_its_bounds():
    def kept():
        return sum(z.nbytes for z in memory._outputs._memories)

    arrays = [memory.output(_MEGABYTE, 'd') for _ in range(10)]
    assert kept() <= memory._KEPT_BYTES
    del arrays
    for size in range(1, 60):
        memory.output(size * _MEGABYTE, 'B')
        assert kept() <= memory._KEPT_BYTES
    # Too large and too small ones are not kept at all.
    memory._outputs = memory._Outputs()
    memory.output(memory._KEPT_BYTES + 1, 'B')
    memory.output(memory._SMALL_BYTES - 1, 'B')
    assert kept() == 0


def test_what_was_free_the_longest_makes_room():
    old, new = (memory.output(n * _MEGABYTE, 'B') for n in (10, 12))
    address = _address(new)
    del old, new
    memory.output(15 * _MEGABYTE, 'B')
    assert _address(memory.output(12 * _MEGABYTE, 'B')) == address


def test_threads_share_no_memory():
    errors = []

    def work(i):
        for _ in range(200):
            array = memory.output(_MEGABYTE // 4, 'f')
            array[::1000] = i
            view = array[::1000]
            del array
            if not (view == i).all():
                errors.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


@pytest.mark.filterwarnings('ignore::DeprecationWarning')
def test_forks_while_another_thread_takes_memory():
    with memory._outputs._lock:
        child = os.fork()
        if child == 0:
            memory.output(_MEGABYTE, 'f')
            os._exit(0)
        for _ in range(100):
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                break
            threading.Event().wait(.1)
        else:
            os.kill(child, 9)
            os.waitpid(child, 0)
    assert ended and status == 0


def test_outputs_of_a_link_stay_as_they_are():
    random = numpy.random.RandomState(0)
    link = mixnorm.links.MixtureNormalization(32, seed=0)
    xs = [random.randn(64, 32, 16, 16).astype('f') for _ in range(3)]
    outputs, gradients, copies = [], [], []
    for x in xs:
        v = chainer.Variable(x)
        y = link(v)
        y.grad = x[::-1].copy()
        y.backward()
        outputs.append(y.array)
        gradients.append(v.grad)
        copies.append((y.array.copy(), v.grad.copy()))
    for y, gx, (y_copy, gx_copy) in zip(outputs, gradients, copies):
        numpy.testing.assert_array_equal(y, y_copy)
        numpy.testing.assert_array_equal(gx, gx_copy)
