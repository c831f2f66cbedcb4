"""The network by the facts of its file, and blocks written out in float64."""

import chainer
import numpy
from numpy.lib.stride_tricks import sliding_window_view
import pytest

from models import inception_features
from models.inception_features import InceptionFeatures, magnify


@pytest.fixture(scope='module')
def network():
    """A network with statistics and parameters drawn at random."""
    random_state = numpy.random.RandomState(0)
    network = InceptionFeatures()
    for name, parameter in sorted(network.namedparams()):
        if name.endswith('/W'):
            fan_in = parameter[0].size
            parameter.array[...] = random_state.uniform(
                -1, 1, parameter.shape) / fan_in ** .5
        else:
            parameter.array[...] = random_state.uniform(
                .5, 1.5, parameter.shape)
    for link in network.links():
        if isinstance(link, chainer.links.BatchNormalization):
            link.avg_mean[...] = random_state.normal(size=link.avg_mean.shape)
            link.avg_var[...] = random_state.uniform(
                1e-3, 2, link.avg_var.shape)
    return network


@pytest.fixture(scope='module')
def arrays(network):
    """What a file of the network holds, by the names in it."""
    serializer = chainer.serializers.DictionarySerializer()
    serializer.save(network)
    return serializer.target


def test_names_and_shapes_of_the_file(arrays):
    # 94 convolutions with W and b, each with 5 arrays of its normalization.
    assert len(arrays) == 94 * 7
    for name, shape in (
            ('conv/W', (32, 3, 3, 3)), ('conv/b', (32,)),
            ('bn_conv_4/avg_var', (192,)), ('conv_4/W', (192, 80, 3, 3)),
            ('mixed/conv/conv/W', (64, 192, 1, 1)),
            ('mixed/tower/conv_1/W', (64, 48, 5, 5)),
            ('mixed/tower_2/conv/W', (32, 192, 1, 1)),
            ('mixed_1/tower_2/bn_conv/gamma', (64,)),
            ('mixed_2/tower_1/conv_2/W', (96, 96, 3, 3)),
            ('mixed_3/conv/conv/W', (384, 288, 3, 3)),
            ('mixed_3/tower/bn_conv_2/beta', (96,)),
            ('mixed_4/tower/conv_1/W', (128, 128, 1, 7)),
            ('mixed_5/tower/conv_2/W', (192, 160, 7, 1)),
            ('mixed_6/tower_1/conv_1/W', (160, 160, 7, 1)),
            ('mixed_7/tower_1/conv_4/W', (192, 192, 1, 7)),
            ('mixed_8/tower/conv_1/W', (320, 192, 3, 3)),
            ('mixed_8/tower_1/conv_3/W', (192, 192, 3, 3)),
            ('mixed_9/tower/mixed/conv/conv/W', (384, 384, 1, 3)),
            ('mixed_9/tower/mixed/conv_1/conv_1/W', (384, 384, 3, 1)),
            ('mixed_9/tower_1/conv_1/W', (384, 448, 3, 3)),
            ('mixed_10/tower_1/mixed/conv_1/bn_conv_1/avg_mean', (384,)),
            ('mixed_10/tower_2/conv/W', (192, 2048, 1, 1))):
        assert arrays[name].shape == shape, name


def test_sizes(network, monkeypatch):
    # The smallest images that reach the end, so that this is fast.
    monkeypatch.setattr(inception_features, '_SIDE', 75)
    shapes = {}

    class Shapes(chainer.LinkHook):

        def forward_postprocess(self, args):
            shapes[args.link.name] = args.out.shape[1:]

    x = numpy.random.RandomState(0).uniform(0, 255, (2, 3, 32, 32)).astype('f')
    with Shapes(), chainer.using_config('train', False), \
            chainer.no_backprop_mode():
        features = network(x)
    assert features.shape == (2, 2048) and features.dtype == numpy.float32
    assert (features.array >= 0).all()
    assert [shapes[name] for name in (
        'mixed', 'mixed_2', 'mixed_3', 'mixed_7', 'mixed_8',
        'mixed_10')] == [
        (256, 7, 7), (288, 7, 7), (768, 3, 3), (768, 3, 3), (1280, 1, 1),
        (2048, 1, 1)]


def _convolve(arrays, path, x, pad=(0, 0), stride=1):
    """Convolution, normalization and ReLU of a layer, in float64."""
    tower, _, name = path.rpartition('/')
    layer = {key: arrays[f'{tower}/{name}/{key}'].astype(float)
             for key in ('W', 'b')}
    norm = {key: arrays[f'{tower}/bn_{name}/{key}'].reshape(-1, 1, 1)
            for key in ('gamma', 'beta', 'avg_mean', 'avg_var')}
    x = numpy.pad(x, ((0, 0), (0, 0), (pad[0],) * 2, (pad[1],) * 2))
    windows = sliding_window_view(x, layer['W'].shape[2:], (2, 3))
    y = numpy.einsum('nchwij,ocij->nohw', windows[:, :, ::stride, ::stride],
                     layer['W'], optimize=True) + layer['b'][:, None, None]
    return numpy.maximum(
        norm['gamma'] * (y - norm['avg_mean'])
        / numpy.sqrt(norm['avg_var'] + .001) + norm['beta'], 0)


def _pool(x, how):
    """3x3 pooling with stride 1 that does not count what is outside."""
    x = numpy.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)),
                  constant_values=numpy.nan)
    return how(sliding_window_view(x, (3, 3), (2, 3)), axis=(4, 5))


def _input(channels, side):
    return numpy.random.RandomState(1).normal(
        size=(2, channels, side, side)).astype('f')


def _output(block, x):
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        return block(x).array


def test_first_block_in_float64(network, arrays):
    x = _input(192, 4)

    def layer(path, h, side):
        return _convolve(arrays, f'mixed/{path}', h, (side // 2,) * 2)
    expected = numpy.concatenate([
        layer('conv/conv', x, 1),
        layer('tower/conv_1', layer('tower/conv', x, 1), 5),
        layer('tower_1/conv_2', layer('tower_1/conv_1', layer(
            'tower_1/conv', x, 1), 3), 3),
        layer('tower_2/conv', _pool(x, numpy.nanmean), 1)], axis=1)
    numpy.testing.assert_allclose(_output(network.mixed, x), expected, 1e-4,
                                  1e-4)


def test_reduction_in_float64(network, arrays):
    x = _input(288, 7)

    def layer(path, h, pad=0, stride=1):
        return _convolve(arrays, f'mixed_3/{path}', h, (pad, pad), stride)
    tower = layer('tower/conv_2', layer('tower/conv_1', layer(
        'tower/conv', x), 1), 0, 2)
    pooled = sliding_window_view(x, (3, 3), (2, 3))[:, :, ::2, ::2].max(
        axis=(4, 5))
    expected = numpy.concatenate(
        [layer('conv/conv', x, 0, 2), tower, pooled], axis=1)
    numpy.testing.assert_allclose(_output(network.mixed_3, x), expected, 1e-4,
                                  1e-4)


@pytest.mark.parametrize('name, channels, pool', [
    ('mixed_9', 1280, numpy.nanmean), ('mixed_10', 2048, numpy.nanmax)])
def test_last_blocks_in_float64(name, channels, pool, network, arrays):
    x = _input(channels, 3)

    def layer(path, h, height=0, width=0):
        return _convolve(arrays, f'{name}/{path}', h, (height, width))

    def fork(tower, h):
        return [layer(f'{tower}/mixed/conv/conv', h, 0, 1),
                layer(f'{tower}/mixed/conv_1/conv_1', h, 1, 0)]
    expected = numpy.concatenate([
        layer('conv/conv', x),
        *fork('tower', layer('tower/conv', x)),
        *fork('tower_1', layer('tower_1/conv_1', layer(
            'tower_1/conv', x), 1, 1)),
        layer('tower_2/conv', _pool(x, pool))], axis=1)
    numpy.testing.assert_allclose(
        _output(network[name], x), expected, 1e-4, 1e-4)


def test_images_are_magnified_as_by_tensorflow():
    """TensorFlow 1's tf.image.resize_bilinear, with its defaults."""
    x = numpy.array([[[[0, 1], [2, 3]]]], 'f')
    numpy.testing.assert_allclose(magnify(x, 4).array, [[[
        [0, .5, 1, 1], [1, 1.5, 2, 2], [2, 2.5, 3, 3], [2, 2.5, 3, 3]]]])
    constant = magnify(numpy.full((2, 3, 32, 32), 7, 'f'), 299).array
    assert constant.shape == (2, 3, 299, 299)
    numpy.testing.assert_allclose(constant, 7, 1e-6)


def test_levels_are_scaled(network, monkeypatch):
    """The first layer sees (x - 128) / 128."""
    monkeypatch.setattr(inception_features, '_SIDE', 75)
    seen = []

    class FirstInput(chainer.LinkHook):

        def forward_preprocess(self, args):
            if args.link is network.conv:
                seen.append(args.args[0].array)

    with FirstInput():
        _output(network, numpy.full((1, 3, 32, 32), 64, 'f'))
    numpy.testing.assert_allclose(seen[0], -.5, 1e-6)
