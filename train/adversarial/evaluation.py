"""Distances of generated images from real ones, while a generator trains."""

import os

from chainer.training import extension
import numpy

from mixnorm.files import replacing
from train import distances
from train.adversarial.samples import generate
from train.adversarial.updater import draw_latent
from train.command_line import UserError
from train.loop import run_folder


# Which of the nearest neighbours density and coverage are about.
N_NEIGHBOURS = 5


class Distances(extension.Extension):

    """Trainer extension that reports how far generated images are from real.

    It reports the Frechet distance, named by the features, and ``kid``,
    ``density`` and ``coverage``. Images are made in test mode from latent
    vectors that are the same each time. The Frechet distance compares them
    with all training images; the others, with as many training images, drawn
    once, or all if there are fewer.

    The real images' features are computed once for a run, when training
    starts, and kept in its folder.

    Args:
        generator (~chainer.Link): The generator.
        n_latent (int): Length of its latent vectors.
        features (~train.adversarial.features.Features): The features.
        images (numpy.ndarray): The training images, ``(N, 3, 32, 32)``,
            uint8.
        n_samples (int): How many images to make.
        batch_size (int): How many to make at once.
        seed (int): Of the latent vectors and the choice of real images.

    """

    def __init__(self, generator, n_latent, features, images, n_samples,
                 batch_size, seed):
        self._generator = generator
        self._features = features
        self._images = images
        random_state = numpy.random.RandomState(seed)
        self._latent = draw_latent(random_state, n_samples, n_latent)
        self._chosen = numpy.sort(random_state.permutation(
            len(images))[:n_samples])
        self._batch_size = batch_size
        self._real = None

    def initialize(self, trainer):
        path = os.path.join(trainer.out, run_folder.REAL_FEATURES)
        self._real = self._read(path)
        if self._real is None:
            self._real = self._compute()
            with replacing(path, 'wb') as file:
                numpy.savez(file, **self._real)

    def __call__(self, trainer):
        made = self._features(generate(
            self._generator, self._latent, self._batch_size))
        trainer.observation.update(self.compare(made))

    def compare(self, made):
        """Computes all distances.

        Args:
            made (numpy.ndarray): Features of the generated images, ``(n, D)``.

        Returns:
            dict: The distances by their names.

        """
        real = self._real
        density, coverage = distances.density_and_coverage(
            real['features'], made, N_NEIGHBOURS, real['radii'])
        return {
            self._features.key: distances.frechet_distance(
                real['mean'], real['covariance'],
                *distances.mean_and_covariance(made)),
            'kid': distances.kernel_distance(real['features'], made),
            'density': density, 'coverage': coverage}

    def _compute(self):
        features = self._features(self._images)
        mean, covariance = distances.mean_and_covariance(features)
        chosen = features[self._chosen]
        return {'sha256': self._features.sha256, 'mean': mean,
                'covariance': covariance, 'features': chosen,
                'radii': distances.neighbour_distances(chosen, N_NEIGHBOURS)}

    def _read(self, path):
        """Returns what was kept, or None if it is not of these features."""
        try:
            with numpy.load(path, allow_pickle=False) as file:
                real = {name: file[name] for name in file.files}
            is_same = real['sha256'] == self._features.sha256
        except Exception:
            # There is none, or any bytes: it is computed anew.
            return None
        return real if is_same else None


def check_same_features(folder, features):
    """Checks that a run's distances are all by the same features.

    Args:
        folder (str): The run's folder.
        features (~train.adversarial.features.Features): Those to go on with.

    Raises:
        UserError: If the run in it has others.

    """
    path = os.path.join(folder, run_folder.REAL_FEATURES)
    try:
        with numpy.load(path, allow_pickle=False) as file:
            sha256 = str(file['sha256'])
    except Exception:
        # As in Distances: there is none, or any bytes.
        return
    if sha256 != features.sha256:
        raise UserError(
            f'--features: {features.path} (SHA-256 {features.sha256[:8]}...) '
            "is not the file that this run's distances are by "
            f'({sha256[:8]}...)')


def check_sizes(n_samples, n_images, features):
    """Checks that there are images enough for the covariances.

    Args:
        n_samples (int): How many images are made.
        n_images (int): How many training images there are.
        features (~train.adversarial.features.Features): The features.

    Raises:
        UserError: If a covariance would be singular for want of images.

    """
    least = max(features.n_dimensions, N_NEIGHBOURS) + 1
    for count, what in ((n_samples, f'--n-samples {n_samples} is'),
                        (n_images, f'the {n_images} training images are')):
        if count < least:
            raise UserError(
                f'{what} too few for a covariance of {features.n_dimensions} '
                f'features: at least {least} are needed')
