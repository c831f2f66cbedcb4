import numpy
import pytest

from mixnorm.compute.scratch import Scratch


def _address(array):
    return array.__array_interface__['data'][0]


@pytest.mark.parametrize('dtype', ['f', 'd', 'i'])
@pytest.mark.parametrize('shape', [(), (0,), (5,), (2, 3, 4)], ids=str)
def test_shape_and_dtype(shape, dtype):
    z = Scratch().empty('z', shape, dtype)
    assert z.shape == shape
    assert z.dtype == numpy.dtype(dtype)
    z[...] = 1


def test_a_name_twice_is_an_error():
    scratch = Scratch()
    scratch.empty('weights', (3,), 'f')
    scratch.empty('others', (3,), 'f')
    with pytest.raises(RuntimeError, match="'weights' is in use"):
        scratch.empty('weights', (3,), 'f')
    with pytest.raises(RuntimeError, match="'weights' is in use"):
        scratch.empty_like('weights', numpy.zeros((2, 3)))


def test_names_lie_apart():
    scratch = Scratch()
    arrays = [scratch.empty(str(i), (100,), 'f') for i in range(9)]
    for i, z in enumerate(arrays):
        z[...] = i
    for i, z in enumerate(arrays):
        assert (z == i).all()


def test_the_next_step_gets_the_same_memory():
    scratch = Scratch()
    addresses = []
    for shape in (100, 2), (7,), (50, 4):
        with scratch.step():
            addresses.append(_address(scratch.empty('z', shape, 'f')))
    assert len(set(addresses)) == 1
    # More, and another type, is other memory.
    with scratch.step():
        assert scratch.empty('z', (1000,), 'f').size == 1000
    with scratch.step():
        assert scratch.empty('z', (10,), 'd').dtype == numpy.float64


def test_a_step_in_a_step():
    scratch = Scratch()
    with scratch.step():
        outer = scratch.empty('outer', (4,), 'f')
        outer[...] = 1
        for _ in range(2):
            with scratch.step():
                scratch.empty('inner', (4,), 'f')[...] = 2
                with pytest.raises(RuntimeError, match="'outer' is in use"):
                    scratch.empty('outer', (4,), 'f')
        assert (outer == 1).all()
        with pytest.raises(RuntimeError, match="'outer' is in use"):
            scratch.empty('outer', (4,), 'f')
        scratch.empty('inner', (4,), 'f')
    scratch.empty('outer', (4,), 'f')


def test_names_are_free_after_an_error():
    scratch = Scratch()
    with pytest.raises(KeyError):
        with scratch.step():
            scratch.empty('z', (4,), 'f')
            raise KeyError('z')
    scratch.empty('z', (4,), 'f')


@pytest.mark.parametrize('shape', [(2, 3, 5), (4, 2, 3, 5)], ids=str)
@pytest.mark.parametrize('channels_last', [False, True])
def test_in_the_order_of_another_array(shape, channels_last):
    z = numpy.zeros(shape, 'e')
    if channels_last:
        z = numpy.zeros(shape[:-2] + shape[:-3:-1], 'e').swapaxes(-1, -2)
    found = Scratch().empty_like('z', z, numpy.dtype('f'))
    assert found.shape == shape
    assert found.dtype == numpy.float32
    assert numpy.array(found.strides).argsort().tolist() == numpy.array(
        z.strides).argsort().tolist()
    assert Scratch().empty_like('z', z).dtype == z.dtype


class _OtherModule:

    """Passes for CuPy."""

    empty = staticmethod(numpy.empty)


def test_cupy_keeps_memory_by_itself():
    scratch = Scratch(_OtherModule())
    with scratch.step():
        first = scratch.empty('z', (5,), 'f')
        with pytest.raises(RuntimeError, match="'z' is in use"):
            scratch.empty('z', (5,), 'f')
    with scratch.step():
        assert not numpy.shares_memory(first, scratch.empty('z', (5,), 'f'))
