import chainer
import numpy
import pytest

from models.dropout import Dropout


def _ones(*shape, dtype='f'):
    return numpy.ones(shape, dtype)


@pytest.mark.parametrize('dtype', ['e', 'f', 'd'])
def test_share_and_scale(dtype):
    seed = 0
    y = Dropout(.25, seed)(_ones(40, 50, 5, dtype=dtype))
    assert y.dtype == numpy.dtype(dtype)
    zero, kept = numpy.unique(y.array)
    assert zero == 0
    numpy.testing.assert_allclose(kept, 1 / .75, rtol=1e-3)
    # Binomial: 10,000 draws have a deviation of 0.0043.
    assert abs((y.array == 0).mean() - .25) < .02, f'seed {seed}'
    # No axis is dropped as a whole.
    assert 0 < (y.array[0] == 0).mean() < 1
    assert 0 < (y.array[:, 0] == 0).mean() < 1


def test_gradient_has_the_same_mask():
    x = chainer.Variable(_ones(8, 9))
    y = Dropout(.5, 1)(x)
    y.grad = _ones(8, 9)
    y.backward()
    numpy.testing.assert_array_equal(x.grad, y.array)


def test_other_values_in_every_pass_and_for_every_seed():
    dropout = Dropout(.5, 1)
    passes = [dropout(_ones(8, 9)).array, dropout(_ones(8, 9)).array,
              Dropout(.5, 2)(_ones(8, 9)).array]
    for i in range(3):
        assert (passes[i] != passes[i - 1]).any()
    numpy.random.seed(3)
    assert Dropout(.5).seed != Dropout(.5).seed


def test_nothing_happens_in_test_mode():
    dropout = Dropout(.5, 1)
    with chainer.using_config('train', False):
        y = dropout(_ones(8, 9))
    assert (y.array == 1).all() and dropout.n_draws == 0


def test_goes_on_after_loading():
    dropout = Dropout(.5, 1)
    dropout(_ones(8, 9))
    serializer = chainer.serializers.DictionarySerializer()
    serializer.save(dropout)
    expected = dropout(_ones(8, 9)).array
    loaded = Dropout(.5, 7)
    chainer.serializers.NpzDeserializer(serializer.target).load(loaded)
    numpy.testing.assert_array_equal(loaded(_ones(8, 9)).array, expected)


def test_shares_of_a_larger_batch():
    expected = Dropout(.5, 1)(_ones(12, 5)).array
    shares = []
    for i in range(3):
        dropout = Dropout(.5, 1)
        dropout.share = i, 3
        shares.append(dropout(_ones(4, 5)).array)
    numpy.testing.assert_array_equal(numpy.concatenate(shares), expected)


@pytest.mark.parametrize('ratio', [-.1, 1, float('nan')])
def test_bad_ratio(ratio):
    with pytest.raises(ValueError, match='ratio is '):
        Dropout(ratio)
