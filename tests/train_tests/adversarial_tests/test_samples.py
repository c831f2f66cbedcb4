import chainer
import numpy
import pytest

from models.dcgan import Generator
from train.adversarial.samples import from_bytes, generate, grid, to_bytes
from train.adversarial.updater import draw_latent


def test_levels():
    levels = numpy.array([-1, -.999, 0, 1], 'f')
    assert to_bytes(levels).tolist() == [0, 0, 128, 255]
    every = numpy.arange(256, dtype=numpy.uint8)
    assert from_bytes(every).dtype == numpy.float32
    numpy.testing.assert_allclose(from_bytes(every)[[0, 255]], [-1, 1])
    numpy.testing.assert_array_equal(to_bytes(from_bytes(every)), every)
    # A generator that has diverged still makes a picture.
    assert to_bytes(numpy.array([numpy.nan])).tolist() == [128]


@pytest.mark.parametrize('normalizer', ['batch', 'mixture', 'mode'])
def test_images_do_not_depend_on_the_batch(normalizer):
    numpy.random.seed(0)
    generator = Generator(5, 8, normalizers={'bn1': normalizer,
                                             'bn2': normalizer})
    generator(draw_latent(numpy.random.RandomState(0), 16, 5))
    latent = draw_latent(numpy.random.RandomState(1), 7, 5)
    before = {name: numpy.copy(value) for name, value in _state(generator)}
    together = generate(generator, latent, 7)
    assert together.shape == (7, 3, 32, 32) and together.dtype == numpy.uint8
    for batch_size in (1, 3):
        apart = generate(generator, latent, batch_size).astype(int)
        # Sums in another order may round to the next level.
        assert abs(apart - together).max() <= 1
    for name, value in _state(generator):
        numpy.testing.assert_array_equal(value, before[name])


def _state(link):
    serializer = chainer.serializers.DictionarySerializer()
    serializer.save(link)
    return [(name, value) for name, value in serializer.target.items()
            if value is not None]


def test_grid():
    images = numpy.zeros((4, 3, 2, 3), numpy.uint8)
    images[1, 0] = 10
    images[2, :, 1, 2] = 20, 30, 40
    picture = grid(images, 2)
    # Two rows of 2 + 2 pixels, two columns of 3 + 2, twice.
    assert picture.shape == (16, 20, 3)
    pixels = picture[::2, ::2]
    numpy.testing.assert_array_equal(picture[1::2, 1::2], pixels)
    assert (pixels[[0, 3, 4, 7]] == 255).all()
    assert (pixels[:, [0, 4, 5, 9]] == 255).all()
    assert (pixels[1:3, 6:9] == [10, 0, 0]).all()
    assert pixels[6, 3].tolist() == [20, 30, 40]
    assert pixels[5, 1].tolist() == [0, 0, 0]
