import types

import numpy
import pytest

from train.adversarial.evaluation import (
    check_same_features, check_sizes, Distances)
from train.command_line import UserError


class _Pixels:

    """Features that are two pixels."""

    path = 'pixels.npz'
    sha256 = 'ab' * 32
    key = 'fid'
    n_dimensions = 2

    def __init__(self):
        self.n_images = 0

    def __call__(self, images):
        self.n_images += len(images)
        return images[:, 0, 0, :2].astype('f')


def _images(n, seed=0):
    return numpy.random.RandomState(seed).randint(
        256, size=(n, 3, 32, 32)).astype('u1')


def _trainer(folder):
    return types.SimpleNamespace(out=str(folder), observation={})


def _distances(features, images, n_samples=20):
    return Distances(None, 4, features, images, n_samples, 5, seed=3)


def test_frechet_distance_is_from_all_images(tmp_path):
    images = _images(60)
    distances = _distances(_Pixels(), images)
    distances.initialize(_trainer(tmp_path))
    made = numpy.random.RandomState(1).normal(100, 50, (20, 2))
    found = distances.compare(made)
    assert set(found) == {'fid', 'kid', 'density', 'coverage'}
    linalg = pytest.importorskip('scipy.linalg')
    real = images[:, 0, 0, :2].astype(float)
    a, b = numpy.cov(real.T), numpy.cov(made.T)
    assert found['fid'] == pytest.approx(
        ((real.mean(0) - made.mean(0)) ** 2).sum() + numpy.trace(
            a + b - 2 * linalg.sqrtm(a @ b).real))
    # As many real images as generated: shares of 20.
    assert found['coverage'] * 20 == pytest.approx(
        round(found['coverage'] * 20))


def test_real_images_are_looked_at_once(tmp_path):
    images = _images(40)
    features = _Pixels()
    first, again = _distances(features, images), _distances(features, images)
    first.initialize(_trainer(tmp_path))
    assert features.n_images == 40
    again.initialize(_trainer(tmp_path))
    assert features.n_images == 40
    made = numpy.random.RandomState(1).normal(100, 50, (20, 2))
    assert first.compare(made) == again.compare(made)


@pytest.mark.parametrize('damage', [
    lambda path: path.write_bytes(b'no npz'), lambda path: path.unlink()])
def test_what_was_kept_is_computed_anew_if_it_is_damaged(damage, tmp_path):
    features = _Pixels()
    _distances(features, _images(40)).initialize(_trainer(tmp_path))
    path = tmp_path / 'real-features.npz'
    whole = path.read_bytes()
    damage(path)
    check_same_features(str(tmp_path), features)
    _distances(features, _images(40)).initialize(_trainer(tmp_path))
    assert features.n_images == 80
    assert path.read_bytes() == whole
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_other_features_are_refused(tmp_path):
    features = _Pixels()
    _distances(features, _images(40)).initialize(_trainer(tmp_path))
    check_same_features(str(tmp_path), features)
    features.sha256 = 'cd' * 32
    with pytest.raises(UserError, match=r'pixels.npz \(SHA-256 cdcdcdcd'):
        check_same_features(str(tmp_path), features)


def test_numbers_of_images():
    features = _Pixels()
    check_sizes(6, 6, features)
    with pytest.raises(UserError, match='--n-samples 5 is too few .* least 6'):
        check_sizes(5, 6, features)
    features.n_dimensions = 64
    with pytest.raises(UserError, match='the 64 training images are too few'):
        check_sizes(65, 64, features)
    check_sizes(65, 65, features)
