import chainer
import numpy
import pytest

from train.data import datasets
from train.command_line import UserError


def test_digits_are_split_into_parts_with_every_image_once():
    sklearn_datasets = pytest.importorskip('sklearn.datasets')
    train, test = datasets.load('digits')
    assert len(train.labels) + len(test.labels) == 1797
    assert train.images.dtype == numpy.float32
    assert train.labels.dtype == numpy.int32
    # No class is rare in either part: a tenth, give or take a third.
    for part in (train, test):
        shares = numpy.bincount(part.labels) / len(part.labels)
        assert len(shares) == 10
        assert (abs(shares - 0.1) < 0.034).all()
    # Undoing the normalization gives scikit-learn's images back.
    digits = sklearn_datasets.load_digits()
    images = numpy.concatenate([train.images, test.images])[:, 0]
    labels = numpy.concatenate([train.labels, test.labels])
    scale = 16 / (images.max() - images.min())
    pixels = numpy.rint((images - images.min()) * scale)
    assert datasets.image_shape('digits') == (1, 16, 16)
    assert pixels.shape == (1797, 16, 16)
    found = sorted(map(tuple, numpy.column_stack(
        [pixels[:, ::2, ::2].reshape(1797, 64), labels]).tolist()))
    assert found == sorted(map(tuple, numpy.column_stack(
        [digits.data, digits.target]).tolist()))


def test_digits_are_the_same_every_time():
    for first, second in zip(datasets.load('digits'), datasets.load('digits')):
        numpy.testing.assert_array_equal(first.images, second.images)
        numpy.testing.assert_array_equal(first.labels, second.labels)


@pytest.mark.parametrize('name, file, shape, n_classes', [
    ('mnist', None, (1, 28, 28), 10),
    ('cifar10', 'cifar-10.npz', (3, 32, 32), 10),
    ('cifar100', 'cifar-100.npz', (3, 32, 32), 100)])
def test_chainers_caches_are_read_and_normalized(
        name, file, shape, n_classes, image_cache):
    train, test = datasets.load(name)
    assert train.images.shape == (40,) + shape
    assert test.images.shape == (10,) + shape
    assert train.images.dtype == numpy.float32
    assert datasets.n_classes(name) == n_classes
    assert datasets.image_shape(name) == shape
    if file:
        raw = numpy.load(image_cache / 'cifar' / file)
        raw_train, raw_test = raw['train_x'], raw['test_x']
    else:
        raw_train, raw_test = (
            numpy.load(image_cache / 'mnist' / file)['x']
            for file in ('train.npz', 'test.npz'))
    raw_train = raw_train.reshape((40,) + shape).astype(numpy.float64)
    raw_test = raw_test.reshape((10,) + shape).astype(numpy.float64)
    for channel in range(shape[0]):
        mean = raw_train[:, channel].mean()
        deviation = raw_train[:, channel].std()
        numpy.testing.assert_allclose(
            train.images[:, channel],
            (raw_train[:, channel] - mean) / deviation, atol=1e-5)
        numpy.testing.assert_allclose(
            test.images[:, channel],
            (raw_test[:, channel] - mean) / deviation, atol=1e-5)
    assert train.labels.tolist() == [i % n_classes for i in range(40)]


def test_sizes_take_the_first_images(image_cache):
    train, test = datasets.load('cifar10', 7, 3)
    raw = numpy.load(image_cache / 'cifar' / 'cifar-10.npz')['train_x'][:7]
    raw = raw.reshape(7, 3, 1024).astype(numpy.float64)
    assert len(test.images) == len(test.labels) == 3
    assert train.labels.tolist() == [0, 1, 2, 3, 4, 5, 6]
    # The mean and the deviation are those of the images that are used.
    numpy.testing.assert_allclose(
        train.images.reshape(7, 3, 1024),
        (raw - raw.mean(axis=(0, 2), keepdims=True))
        / raw.std(axis=(0, 2), keepdims=True), atol=1e-5)


def test_constant_channel_becomes_zero(image_cache):
    path = image_cache / 'mnist' / 'train.npz'
    numpy.savez(path, x=numpy.full((40, 784), 7, numpy.uint8),
                y=numpy.zeros(40, numpy.uint8))
    train, test = datasets.load('mnist')
    numpy.testing.assert_allclose(train.images, 0, atol=1e-7)
    assert numpy.isfinite(test.images).all()


@pytest.mark.parametrize('which, size', [('train', 41), ('test', 11)])
def test_size_too_large(which, size, image_cache):
    with pytest.raises(UserError, match=f'--{which}-size {size} is more than '
                                        f'the {size - 1}'):
        datasets.load('cifar10', **{f'{which}_size': size})


@pytest.mark.parametrize('name, file', [
    ('mnist', 'mnist/test.npz'), ('cifar10', 'cifar/cifar-10.npz'),
    ('cifar100', 'cifar/cifar-100.npz')])
def test_data_set_that_cannot_be_fetched(
        name, file, image_cache, monkeypatch):
    def fail(url):
        raise OSError('no network')
    monkeypatch.setattr(chainer.dataset.download, 'cached_download', fail)
    (image_cache / file).unlink()
    with pytest.raises(UserError) as error:
        datasets.load(name)
    assert str(image_cache / file) in str(error.value)
    assert 'no network' in str(error.value)
    assert 'CHAINER_DATASET_ROOT' in str(error.value)
    assert '\n' not in str(error.value)


def test_damaged_cache(image_cache):
    path = image_cache / 'cifar' / 'cifar-10.npz'
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(UserError, match='cannot read cifar10 from') as error:
        datasets.load('cifar10')
    assert str(path) in str(error.value)
