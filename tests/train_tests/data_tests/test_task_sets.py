import sys

import chainer
import numpy
import pytest

from train.data import task_sets
from train.command_line import UserError
from train.data.task_sets import Standardize


_FILES = {
    'mnist': ('mnist/train.npz', 'mnist/test.npz'),
    'fashion-mnist': ('fashion-mnist/train.npz', 'fashion-mnist/test.npz'),
    'cifar10': ('cifar/cifar-10.npz',),
    'svhn': ('svhn/train.npz', 'svhn/test.npz')}

_SIZES = {'train': 40, 'test': 10}


@pytest.fixture
def set_cache(tmp_path):
    """A folder of Chainer's caches of random images, 10 test, 40 training."""
    random = numpy.random.RandomState(0)

    def draw(*shape):
        return random.randint(256, size=shape).astype(numpy.uint8)

    def labels(n, first=0):
        return (numpy.arange(n) % 10 + first).astype(numpy.uint8)

    folder = tmp_path / 'cache' / 'pfnet' / 'chainer'
    for name in ('mnist', 'fashion-mnist', 'cifar', 'svhn'):
        (folder / name).mkdir(parents=True)
    for part, n in _SIZES.items():
        for name in ('mnist', 'fashion-mnist'):
            numpy.savez(folder / name / (f'{part}.npz'),
                        x=draw(n, 784), y=labels(n))
        # Images along the last axis, classes from 1, where 10 is the digit 0.
        numpy.savez(folder / 'svhn' / (f'{part}.npz'),
                    x=draw(32, 32, 3, n), y=labels(n, 1)[:, None])
    numpy.savez(
        folder / 'cifar' / 'cifar-10.npz', train_x=draw(40, 3072),
        train_y=labels(40), test_x=draw(10, 3072), test_y=labels(10))
    root = chainer.dataset.get_dataset_root()
    chainer.dataset.set_dataset_root(str(tmp_path / 'cache'))
    yield folder
    chainer.dataset.set_dataset_root(root)


def _raw(set_cache, name, part):
    """Returns a set's images (N, H, W, colours) and labels from its file."""
    if name == 'cifar10':
        with numpy.load(set_cache / _FILES[name][0]) as file:
            images, labels = file[f'{part}_x'], file[f'{part}_y']
        return images.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), labels
    with numpy.load(set_cache / name / (f'{part}.npz')) as file:
        images, labels = file['x'], file['y']
    if name == 'svhn':
        return numpy.moveaxis(images, 3, 0), labels[:, 0] % 10
    return images.reshape(-1, 28, 28, 1), labels


def _framed(image):
    """Returns (H, W, colours) as (3, 32, 32), black around it."""
    side = (32 - len(image)) // 2
    image = numpy.pad(image, ((side, side), (side, side), (0, 0)))
    return numpy.stack([image[:, :, c % image.shape[2]] for c in range(3)])


@pytest.mark.parametrize('name', _FILES)
@pytest.mark.parametrize('part', ['train', 'test'])
def test_chainers_caches_are_read(name, part, set_cache):
    found = dict(zip(('train', 'test'), task_sets.load([name])))[part]
    images, labels = _raw(set_cache, name, part)
    assert found.images.shape == (_SIZES[part], 3, 32, 32)
    assert found.images.dtype == numpy.uint8
    assert found.labels.dtype == numpy.int32
    assert found.tasks.dtype == numpy.int32 and not found.tasks.any()
    for image, expected in zip(found.images, images):
        numpy.testing.assert_array_equal(image, _framed(expected))
    numpy.testing.assert_array_equal(found.labels, labels)
    assert set(labels.tolist()) == set(range(10))


def test_classes_follow_those_of_the_set_before(set_cache):
    names = ['svhn', 'mnist', 'cifar10']
    assert task_sets.n_classes(names) == 30
    train, test = task_sets.load(names, 7, 4)
    for union, part, n in ((train, 'train', 7), (test, 'test', 4)):
        assert union.images.shape == (3 * n, 3, 32, 32)
        assert union.labels.dtype == union.tasks.dtype == numpy.int32
        assert union.tasks.tolist() == [0] * n + [1] * n + [2] * n
        expected = []
        for i, name in enumerate(names):
            images, labels = _raw(set_cache, name, part)
            expected += [int(label) + 10 * i for label in labels[:n]]
            for image, raw in zip(union.images[i * n:], images[:n]):
                numpy.testing.assert_array_equal(image, _framed(raw))
        assert union.labels.tolist() == expected


def test_digits_are_magnified_and_each_of_them_is_there_once():
    sklearn_datasets = pytest.importorskip('sklearn.datasets')
    train, test = task_sets.load(['digits'])
    images = numpy.concatenate([train.images, test.images])
    labels = numpy.concatenate([train.labels, test.labels])
    assert len(images) == 1797 and len(test.labels) == 360
    # Each of 8x8 pixels has become 4x4 equal ones, in three equal colours.
    blocks = images.reshape(-1, 3, 8, 4, 8, 4)
    pixels = blocks[:, 0, :, 0, :, 0]
    numpy.testing.assert_array_equal(blocks, numpy.broadcast_to(
        pixels[:, None, :, None, :, None], blocks.shape))
    # Of scikit-learn's levels, 16 has become 255.
    digits = sklearn_datasets.load_digits()
    assert pixels.max() == 255
    found = numpy.column_stack([
        numpy.rint(pixels.reshape(1797, 64) / 255 * 16), labels])
    assert sorted(map(tuple, found.tolist())) == sorted(map(
        tuple, numpy.column_stack([digits.data, digits.target]).tolist()))
    for part in (train, test):
        shares = numpy.bincount(part.labels) / len(part.labels)
        assert len(shares) == 10
        assert (abs(shares - .1) < .034).all()


def _period(image):
    """Returns the period of a grating: of its spectrum's peak, in pixels."""
    grey = image.astype('d').mean(axis=0)
    spectrum = abs(numpy.fft.fft2(grey - grey.mean()))
    y, x = numpy.unravel_index(spectrum.argmax(), spectrum.shape)
    frequencies = numpy.fft.fftfreq(32)
    return 1 / numpy.hypot(frequencies[y], frequencies[x])


def test_textures():
    (train, test), (again, _) = (
        task_sets.load(['textures']) for _ in range(2))
    assert train.images.shape == (1437, 3, 32, 32)
    assert test.images.shape == (360, 3, 32, 32)
    assert train.images.dtype == numpy.uint8
    assert numpy.bincount(train.labels).min() > 100
    assert numpy.bincount(test.labels).min() > 20
    numpy.testing.assert_array_equal(train.images, again.images)
    numpy.testing.assert_array_equal(train.labels, again.labels)
    # Classes from 5 on have a longer period.
    is_long = numpy.array([_period(image) > 6.75 for image in test.images])
    assert (is_long == (test.labels >= 5)).mean() > .9
    # No test image is a training image.
    both = numpy.concatenate([train.images, test.images])
    assert len(numpy.unique(both.reshape(len(both), -1), axis=0)) == 1797


@pytest.mark.parametrize('shape, factor, top, left', [
    ((8, 8), 4, 0, 0), ((28, 28), 1, 2, 2), ((32, 32), 1, 0, 0),
    ((10, 7), 3, 1, 5), ((16, 9), 2, 0, 7)])
@pytest.mark.parametrize('n_colours', [1, 3])
def test_frame(shape, factor, top, left, n_colours):
    images = numpy.random.RandomState(0).randint(
        1, 255, size=(3, n_colours) + shape).astype('d')
    # 0.4 more or less is not another level.
    images[1] += .4
    images[2] -= .4
    found = task_sets.frame(images)
    assert found.shape == (3, 3, 32, 32) and found.dtype == numpy.uint8
    expected = numpy.zeros(found.shape)
    for y in range(factor * shape[0]):
        for x in range(factor * shape[1]):
            expected[:, :, top + y, left + x] = numpy.round(
                images[:, :, y // factor, x // factor])
    numpy.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize('which, size', [('train', 41), ('test', 11)])
def test_size_too_large(which, size, set_cache):
    with pytest.raises(
            UserError, match=f'--{which}-size {size} is more than the '
                             f'{size - 1} images of svhn'):
        task_sets.load(['svhn'], **{f'{which}_size': size})


def test_every_set_has_the_size_asked_for(set_cache):
    with pytest.raises(UserError, match='40 images of mnist'):
        task_sets.load(['textures', 'mnist'], 41)


@pytest.mark.parametrize('name, file', [
    (name, file) for name in _FILES for file in _FILES[name]])
def test_set_that_cannot_be_fetched(name, file, set_cache, monkeypatch):
    def fail(url):
        raise OSError('no network')
    monkeypatch.setattr(chainer.dataset.download, 'cached_download', fail)
    (set_cache / file).unlink()
    with pytest.raises(UserError) as error:
        task_sets.load(['textures', name])
    message = str(error.value)
    assert f'cannot fetch {name}: ' in message
    assert f'there is no {set_cache / file}, ' in message
    assert 'no network' in message
    assert 'CHAINER_DATASET_ROOT' in message
    assert '\n' not in message


@pytest.mark.parametrize('name', _FILES)
def test_damaged_cache(name, set_cache):
    path = set_cache / _FILES[name][-1]
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(
            UserError, match=f'cannot read {name} from') as error:
        task_sets.load([name])
    assert str(path) in str(error.value)
    assert '\n' not in str(error.value)


def test_svhn_without_scipy(set_cache, monkeypatch):
    monkeypatch.setitem(sys.modules, 'scipy.io', None)
    with pytest.raises(UserError, match='pip install scipy'):
        task_sets.load(['svhn'])
    assert all((set_cache / file).exists() for file in _FILES['svhn'])


def test_digits_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, 'sklearn.datasets', None)
    with pytest.raises(UserError, match='pip install scikit-learn'):
        task_sets.load(['digits'])


@pytest.mark.parametrize('n', [1, 999, 1000, 2345])
def test_standardize(n):
    random = numpy.random.RandomState(0)
    images = random.randint(256, size=(n, 3, 32, 32)).astype(numpy.uint8)
    # Three colours of different means and deviations.
    images[:, 1] = 250 + images[:, 1] % 3
    images[:, 2] //= 7
    exact = images.astype(numpy.float64)
    mean = exact.mean(axis=(0, 2, 3), keepdims=True)
    deviation = exact.std(axis=(0, 2, 3), keepdims=True)
    standardize = Standardize(images)
    found = standardize(images[:50])
    assert found.dtype == numpy.float32
    numpy.testing.assert_allclose(
        found, (exact[:50] - mean) / deviation, atol=1e-4)
    # Other images are measured by the same mean and deviation.
    other = random.randint(256, size=(5, 3, 32, 32)).astype(numpy.uint8)
    numpy.testing.assert_allclose(
        standardize(other), (other - mean) / deviation, rtol=1e-4, atol=1e-4)


def test_standardize_one_level():
    images = numpy.full((4, 3, 32, 32), 255, numpy.uint8)
    images[:, 1, ::2] = 0
    found = Standardize(images)(images)
    numpy.testing.assert_array_equal(found[:, ::2], 0)
    numpy.testing.assert_allclose(abs(found[:, 1]), 1, rtol=1e-6)
