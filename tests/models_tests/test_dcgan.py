import chainer
import numpy
import pytest

from models.dcgan import Discriminator
from models.dcgan import Generator
from models_tests.shapes import shapes


def _latent(n=2, size=100):
    return numpy.random.RandomState(0).uniform(-1, 1, (n, size)).astype('f')


def test_sizes_of_the_generator():
    found = shapes(Generator(), _latent())
    assert [found[f'/{path}'][1:] for path in (
        'linear', 'deconv1', 'bn1', 'deconv2', 'bn2', 'deconv3', 'bn3',
        'deconv4')] == [
        (100,), (512, 4, 4), (256, 8, 8), (256, 8, 8), (128, 16, 16),
        (128, 16, 16), (64, 32, 32), (64, 32, 32)]


def test_sizes_of_the_discriminator():
    found = shapes(Discriminator(), numpy.zeros((2, 3, 32, 32), 'f'))
    assert [found[f'/{path}'][1:] for path in (
        'conv0', 'conv1', 'bn1', 'conv2', 'bn2', 'conv3', 'bn3',
        'linear')] == [
        (3, 32, 32), (64, 32, 32), (128, 16, 16), (128, 16, 16), (256, 8, 8),
        (256, 8, 8), (512, 4, 4), (512, 4, 4)]


def test_numbers_of_parameters():
    assert Generator().count_params() == (
        101 * 8192 + 512 * 256 * 16 + 256 * 128 * 16 + 128 * 64 * 16
        + 2 * (256 + 128 + 64) + 64 * 3 * 9 + 3)
    assert Discriminator(in_channels=3).count_params() == (
        3 * 64 * 9 + 64 + 64 * 128 * 16 + 128 * 256 * 16 + 256 * 512 * 16
        + 2 * (128 + 256 + 512) + 8192 + 1)


def test_generator():
    model = Generator(5, 16, 2)
    z = _latent(3, 5)
    h = z @ model.linear.W.array.T + model.linear.b.array
    h = h.clip(0).reshape(3, 16, 4, 4)
    for i in (1, 2, 3):
        h = model[f'bn{i}'](model[f'deconv{i}'](h)).array.clip(0)
    h = numpy.tanh(model.deconv4(h).array)
    assert h.shape == (3, 2, 32, 32) and abs(h).max() > 0
    numpy.testing.assert_allclose(
        model(z).array, h, rtol=1e-4, atol=1e-4 * abs(h).max())


def test_discriminator():
    model = Discriminator(16, 2)
    x = numpy.random.RandomState(1).normal(size=(3, 2, 32, 32)).astype('f')
    h = model.conv0(x).array
    h = numpy.where(h < 0, h / 5, h)
    for i in (1, 2, 3):
        h = model[f'bn{i}'](model[f'conv{i}'](h)).array
        h = numpy.where(h < 0, h / 5, h)
    expected = h.reshape(3, -1) @ model.linear.W.array.T
    assert expected.shape == (3, 1) and abs(expected).max() > 0
    numpy.testing.assert_allclose(
        model(x).array, expected + model.linear.b.array, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize('model', [Generator(100, 64), Discriminator(64, 3)],
                         ids=['generator', 'discriminator'])
def test_weights_as_radford_et_al_draw_them(model):
    for path, param in model.namedparams():
        if path.endswith('/W') and param.size > 5000:
            assert abs(param.array.std() / .02 - 1) < .05, path
            assert abs(param.array.mean()) < .002, path


@pytest.mark.parametrize('make', [
    lambda width: Generator(width=width), lambda width: Discriminator(width)],
    ids=['generator', 'discriminator'])
@pytest.mark.parametrize('width', [0, -8, 4, 20])
def test_width_that_cannot_be_halved(make, width):
    with pytest.raises(ValueError, match=f'width is {width}: .*multiple of 8'):
        make(width)


def test_generator_learns_from_the_discriminator():
    generator, discriminator = Generator(5, 16), Discriminator(16, 3)
    images = generator(_latent(4, 5))
    loss = chainer.functions.mean(
        chainer.functions.softplus(-discriminator(images)))
    generator.cleargrads()
    loss.backward()
    for path, param in generator.namedparams():
        assert abs(param.grad).max() > 0, path
