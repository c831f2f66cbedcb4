import chainer
import numpy
import pytest

from models.nin import NIN
from models_tests.shapes import shapes


# The network without normalizers, as it is published for CIFAR-10.
N_PARAMS = 966986
CHANNELS = (192, 160, 96, 192, 192, 192, 192, 192, 10)


def test_layers():
    model = NIN(10, 3)
    shapes = {path: param.shape for path, param in model.namedparams()
              if path.endswith('/W')}
    inputs = (3,) + CHANNELS[:-1]
    assert [shapes[f'/{place}/conv/W'] for place in model.normalized_layers
            ] == [(n_out, n_in, side, side) for n_out, n_in, side in zip(
                CHANNELS, inputs, (5, 1, 1, 5, 1, 1, 3, 1, 1))]
    assert len(shapes) == 9


def test_numbers_of_parameters():
    none = NIN(10, 3, dict.fromkeys(('mlpconv1', 'mlpconv2', 'mlpconv3'),
                                    'none'))
    assert none.count_params() == N_PARAMS
    # gamma and beta in the place of a bias.
    batch = NIN(10, 3)
    assert batch.count_params() == N_PARAMS + sum(CHANNELS)


def test_two_modes_add_less_than_a_percent():
    batch = NIN(10, 3).count_params()
    mode = NIN(10, 3, {'*': ('mode', {'n_modes': 2})}).count_params()
    # A weight for each channel and a bias, for each mode.
    assert mode - batch == 2 * (sum(CHANNELS) + len(CHANNELS))
    assert 0 < mode / batch - 1 < .01


@pytest.mark.parametrize('side, sides', [(32, (32, 16, 8)), (28, (28, 14, 7))])
def test_sizes_between_blocks(side, sides):
    model = NIN(10)
    found = shapes(model, numpy.zeros((2, 1, side, side), 'f'))
    for block, size in zip((1, 2, 3), sides):
        for i in range(3):
            assert found[f'/mlpconv{block}/{i}/norm'][2:] == (size, size)


def test_forward():
    model = NIN(4, 3)
    x = numpy.random.RandomState(0).normal(size=(2, 3, 8, 8)).astype('f')

    def windows(h, outside):
        h = numpy.pad(h, ((0, 0), (0, 0), (1, 1), (1, 1)),
                      constant_values=outside)
        return numpy.lib.stride_tricks.sliding_window_view(
            h, (3, 3), axis=(2, 3))[:, :, ::2, ::2]

    with chainer.using_config('train', False):
        y = model(x).array
        h = windows(model.mlpconv1(x).array, -numpy.inf).max(axis=(4, 5))
        h = windows(model.mlpconv2(h).array, 0).mean(axis=(4, 5))
        expected = model.mlpconv3(h).array.mean(axis=(2, 3))
    assert expected.shape == (2, 4)
    numpy.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


def test_a_quarter_is_dropped_behind_the_first_two_poolings():
    model = NIN(4, 3)
    assert model.dropout1.ratio == model.dropout2.ratio == .25
    assert model.dropout1.seed != model.dropout2.seed
    found = shapes(model, numpy.zeros((2, 3, 32, 32), 'f'))
    assert found['/dropout1'] == (2, 96, 16, 16)
    assert found['/dropout2'] == (2, 192, 8, 8)
    x = numpy.random.RandomState(0).normal(size=(4, 3, 16, 16)).astype('f')
    assert (model(x).array != model(x).array).any()
