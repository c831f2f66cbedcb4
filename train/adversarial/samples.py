"""Generated images, and pictures of them."""

import os

import chainer
from chainer.training import extension
import numpy

from mixnorm.files import replacing
from train.adversarial.updater import draw_latent
from train.loop import run_folder


def generate(generator, latent, batch_size):
    """Makes images in test mode.

    The normalizers use what they use for inference: running averages, queues
    of mixtures. An image depends on its latent vector alone, not on what else
    is made beside it.

    Args:
        generator (~chainer.Link): Maps ``(N, n_latent)`` to images in [-1, 1].
        latent (numpy.ndarray): Latent vectors ``(N, n_latent)``.
        batch_size (int): How many images to make at once.

    Returns:
        numpy.ndarray: Images ``(N, C, H, W)``, uint8; what is not a number
        is 0.

    """
    images = []
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        for start in range(0, len(latent), batch_size):
            made = generator(generator.device.send(
                latent[start:start + batch_size])).array
            images.append(to_bytes(
                chainer.get_device('@numpy').send(made)))
    return numpy.concatenate(images)


def to_bytes(images):
    """Turns levels in [-1, 1] into those from 0 to 255."""
    return numpy.rint(numpy.nan_to_num(images) * 127.5 + 127.5).clip(
        0, 255).astype(numpy.uint8)


def from_bytes(images):
    """Turns levels from 0 to 255 into those in [-1, 1], float32."""
    return images.astype(numpy.float32) / numpy.float32(127.5) - 1


class SampleGrids(extension.Extension):

    """Trainer extension that writes what a generator makes as a picture.

    It is a square of images, twice magnified, made in test mode from latent
    vectors that are the same each time.

    Args:
        generator (~chainer.Link): The generator.
        n_latent (int): Length of its latent vectors.
        batch_size (int): How many images to make at once.
        seed (int): Of the latent vectors.
        side (int): How many images are in a row.

    """

    def __init__(self, generator, n_latent, batch_size, seed, side=10):
        self._generator = generator
        self._latent = draw_latent(
            numpy.random.RandomState(seed), side ** 2, n_latent)
        self._batch_size = batch_size
        self._side = side

    def __call__(self, trainer):
        # Imported here: matplotlib is optional.
        from matplotlib import image

        path = run_folder.samples_path(
            trainer.out, trainer.updater.iteration)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        picture = grid(generate(
            self._generator, self._latent, self._batch_size), self._side)
        with replacing(path, 'wb') as file:
            image.imsave(file, picture, format='png')


def grid(images, side):
    """Puts images side by side, in white frames, twice magnified.

    Args:
        images (numpy.ndarray): ``(side ** 2, 3, H, W)``, uint8.
        side (int): How many are in a row.

    Returns:
        numpy.ndarray: The picture, ``(height, width, 3)``, uint8.

    """
    framed = numpy.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)),
                       constant_values=255)
    _, n_colours, height, width = framed.shape
    picture = framed.reshape(side, side, n_colours, height, width).transpose(
        0, 3, 1, 4, 2).reshape(side * height, side * width, n_colours)
    return picture.repeat(2, axis=0).repeat(2, axis=1)
