import chainer
import numpy
import pytest

from models.inception_v3 import InceptionV3
from models_tests.shapes import shapes


@pytest.fixture(scope='module')
def model():
    return InceptionV3(1000, 3)


@pytest.fixture(scope='module')
def of_32x32(model):
    return shapes(model, numpy.zeros((2, 3, 32, 32), 'f'))


# Input channels, output channels and area of the kernel of every convolution,
# by place: table 1 and figures 5 to 7 of Szegedy et al., with the widths of
# the published network.
CONVOLUTIONS = {
    'stem/0': (3, 32, 9), 'stem/1': (32, 32, 9), 'stem/2': (32, 64, 9),
    'stem/3': (64, 80, 1), 'stem/4': (80, 192, 9),
    'red1/0/0': (288, 384, 9), 'red1/1/0': (288, 64, 1),
    'red1/1/1': (64, 96, 9), 'red1/1/2': (96, 96, 9),
    'red2/0/0': (768, 192, 1), 'red2/0/1': (192, 320, 9),
    'red2/1/0': (768, 192, 1), 'red2/1/1': (192, 192, 7),
    'red2/1/2': (192, 192, 7), 'red2/1/3': (192, 192, 9)}
for _i, _n_in, _pool in ((0, 192, 32), (1, 256, 64), (2, 288, 64)):
    CONVOLUTIONS.update({f'inc1/{_i}/{_place}': _sizes for _place, _sizes in {
        '0/0': (_n_in, 64, 1),
        '1/0': (_n_in, 48, 1), '1/1': (48, 64, 25),
        '2/0': (_n_in, 64, 1), '2/1': (64, 96, 9), '2/2': (96, 96, 9),
        '3/0': (_n_in, _pool, 1)}.items()})
for _i, _n in enumerate((128, 160, 160, 192)):
    CONVOLUTIONS.update({f'inc2/{_i}/{_place}': _sizes for _place, _sizes in {
        '0/0': (768, 192, 1),
        '1/0': (768, _n, 1), '1/1': (_n, _n, 7), '1/2': (_n, 192, 7),
        '2/0': (768, _n, 1), '2/1': (_n, _n, 7), '2/2': (_n, _n, 7),
        '2/3': (_n, _n, 7), '2/4': (_n, 192, 7),
        '3/0': (768, 192, 1)}.items()})
for _i, _n_in in enumerate((1280, 2048)):
    CONVOLUTIONS.update({f'inc3/{_i}/{_place}': _sizes for _place, _sizes in {
        '0/0': (_n_in, 320, 1),
        '1/0': (_n_in, 384, 1), '1/1': (384, 384, 3), '1/2': (384, 384, 3),
        '2/0': (_n_in, 448, 1), '2/1': (448, 384, 9), '2/2': (384, 384, 3),
        '2/3': (384, 384, 3), '3/0': (_n_in, 192, 1)}.items()})


def test_convolutions(model):
    found = {}
    for path, param in model.namedparams():
        if path.endswith('/conv/W'):
            n_out, n_in, height, width = param.shape
            found[path[1:-len('/conv/W')]] = n_in, n_out, height * width
    assert found == CONVOLUTIONS
    assert set(model.normalized_layers) == CONVOLUTIONS.keys()


def test_number_of_parameters(model):
    # Each convolution has the gamma and beta of its normalizer.
    n_params = sum(n_in * n_out * area + 2 * n_out
                   for n_in, n_out, area in CONVOLUTIONS.values())
    assert model.count_params() == n_params + 2049 * 1000
    # torchvision's 27,161,264 less its auxiliary classifier's: 1x1 and 5x5
    # convolutions with gamma and beta, and a linear layer.
    assert model.count_params() == 27161264 - (
        768 * 128 + 2 * 128 + 128 * 768 * 25 + 2 * 768 + 769 * 1000)
    assert round(model.count_params() / 1e6, 1) == 23.8


@pytest.mark.parametrize('path, side', [
    ('stem/0', 32), ('stem/4', 32), ('inc1/0', 15), ('inc1/2', 15),
    ('red1', 15), ('inc2/0', 7), ('inc2/3', 7), ('red2', 7), ('inc3/0', 3),
    ('inc3/1', 3)])
def test_sizes_between_layers(path, side, of_32x32):
    assert of_32x32[f'/{path}'][2:] == (side, side)


def test_sizes_of_what_is_normalized(of_32x32):
    sides = {'stem': {32}, 'inc1': {15}, 'red1': {15, 7}, 'inc2': {7},
             'red2': {7, 3}, 'inc3': {3}}
    found = {}
    for path, shape in of_32x32.items():
        if path.endswith('/norm'):
            assert shape[2] == shape[3]
            found.setdefault(path.split('/')[1], set()).add(shape[3])
    assert found == sides
    assert of_32x32['/linear'] == (2, 2048)


def test_larger_images(model):
    with chainer.no_backprop_mode(), chainer.using_config('train', False):
        assert model(numpy.zeros((1, 3, 48, 48), 'f')).shape == (1, 1000)


def test_kernels_that_are_no_squares(model):
    # The fifth of the third branch, 1x7; before it 7x1.
    branch = model['inc2'][0][2]
    assert [layer.conv.W.shape[2:] for layer in branch] == [
        (1, 1), (7, 1), (1, 7), (7, 1), (1, 7)]
    assert [layer.conv.W.shape[2:] for layer in model['inc2'][3][1]] == [
        (1, 1), (1, 7), (7, 1)]


def test_layer_of_branches(model):
    layer = model['inc3'][0]
    x = numpy.random.RandomState(0).normal(size=(1, 1280, 3, 3)).astype('f')
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        y = layer(x).array
        # Neighbours outside count as zeros.
        frame = numpy.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
        pooled = numpy.mean([frame[:, :, i:i + 3, j:j + 3] for i in range(3)
                             for j in range(3)], axis=0)
        (first,), (a, b, c), (d, e, f, g), (last,) = layer
        h, k = a(x), e(d(x))
        expected = [first(x), b(h), c(h), f(k), g(k), last(pooled)]
    assert y.shape == (1, 2048, 3, 3)
    numpy.testing.assert_allclose(
        y, numpy.concatenate([z.array for z in expected], axis=1),
        rtol=1e-4, atol=1e-5)


def test_reduction(model):
    x = numpy.random.RandomState(1).normal(size=(1, 288, 15, 15)).astype('f')
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        y = model.red1(x).array
    assert y.shape == (1, 384 + 96 + 288, 7, 7)
    pooled = numpy.max([x[:, :, i:i + 13:2, j:j + 13:2] for i in range(3)
                        for j in range(3)], axis=0)
    numpy.testing.assert_array_equal(y[:, -288:], pooled)


def test_number_of_places_of_the_paper(model):
    def n_inside(path):
        return sum(place.startswith(f'{path}/')
                   for place in model.normalized_layers)
    # Three, four and two layers; figure 8's fifth of the third branch.
    assert [len(model[f'inc{i}']) for i in (1, 2, 3)] == [3, 4, 2]
    assert n_inside('inc2/0/2') == 5
    assert (n_inside('inc2/0'), n_inside('inc3/0')) == (10, 9)
    assert (n_inside('red1'), n_inside('red2')) == (4, 6)
