"""Chainer's data sets and iterators under the running versions."""

import chainer
from chainer import datasets
from chainer import iterators
import numpy
import pytest

SEED = 50


def _squares(n=10):
    x = numpy.arange(n, dtype=numpy.float32)
    return datasets.TupleDataset(x, x ** 2)


def test_padding_to_a_common_shape():
    batch = chainer.dataset.concat_examples(
        [numpy.ones((2, 1)), numpy.ones((1, 3)), numpy.ones((1, 1))],
        padding=-1)
    expected = -numpy.ones((3, 2, 3))
    expected[0, :2, :1] = expected[1, :1, :3] = expected[2, 0, 0] = 1
    numpy.testing.assert_array_equal(batch, expected)


def test_dictionaries_are_joined_by_key():
    data = datasets.DictDataset(x=numpy.eye(3), t=[1, 2, 3])
    batch = chainer.dataset.concat_examples(data[:])
    numpy.testing.assert_array_equal(batch['x'], numpy.eye(3))
    numpy.testing.assert_array_equal(batch['t'], [1, 2, 3])


def test_splits_share_the_data_out():
    first, second = datasets.split_dataset_random(_squares(), 7, seed=SEED)
    assert sorted(x for x, _ in [*first[:], *second[:]]) == list(range(10))
    assert (len(first), len(second)) == (7, 3)
    folds = datasets.get_cross_validation_datasets(_squares(), 5)
    assert sorted(x for _, fold in folds for x, _ in fold[:]) == list(
        range(10))


def test_transformed_and_joined_sets():
    negative = datasets.TransformDataset(
        _squares(), lambda example: (-example[0], example[1]))
    joined = datasets.ConcatenatedDataset(_squares(), negative)
    assert len(joined) == 20
    assert joined[13] == (-3, 9)


def test_tabular():
    data = chainer.dataset.tabular.from_data(
        (('a', numpy.arange(4)), ('b', numpy.arange(4) ** 2)))
    a, b = data.slice[[3, 1]].astuple().fetch()
    assert (list(a), list(b)) == ([3, 1], [9, 1])
    both = data.concat(data)
    assert len(both) == 8


def test_pickled_set(tmp_path):
    path = str(tmp_path / 'data')
    with datasets.open_pickle_dataset_writer(path) as writer:
        for example in _squares(3)[:]:
            writer.write(example)
    with datasets.open_pickle_dataset(path) as data:
        assert [data[i] for i in (2, 0)] == [(2, 4), (0, 0)]


def test_images(tmp_path):
    image = pytest.importorskip('PIL.Image')
    pixels = numpy.arange(24, dtype=numpy.uint8).reshape(2, 4, 3)
    image.fromarray(pixels).save(str(tmp_path / 'a.png'))
    data = datasets.LabeledImageDataset([('a.png', 5)], str(tmp_path))
    x, t = data[0]
    assert t == 5
    numpy.testing.assert_array_equal(x, pixels.transpose(2, 0, 1))


def test_text(tmp_path):
    (tmp_path / 'words').write_text('one\ntwo\nthree\n', encoding='utf-8')
    data = datasets.TextDataset(str(tmp_path / 'words'), encoding='utf-8')
    assert [line.strip() for line in data[1:]] == ['two', 'three']


def test_cached_download(tmp_path, monkeypatch):
    monkeypatch.setattr(chainer.dataset.download, '_dataset_root',
                        str(tmp_path))
    folder = tmp_path / 'pfnet' / 'chainer' / 'cifar'
    folder.mkdir(parents=True)
    x = numpy.random.RandomState(SEED).randint(
        0, 256, (5, 3072)).astype(numpy.uint8)
    y = numpy.arange(5, dtype=numpy.uint8)
    numpy.savez_compressed(str(folder / 'cifar-10.npz'), train_x=x, train_y=y,
                           test_x=x[:2], test_y=y[:2])
    train, test = datasets.get_cifar10()
    assert (len(train), len(test)) == (5, 2)
    image, label = train[3]
    assert image.dtype == numpy.float32 and label == 3
    numpy.testing.assert_allclose(
        image, x[3].reshape(3, 32, 32) / 255, rtol=1e-6)


@pytest.mark.parametrize('make', [
    lambda data, **options: iterators.SerialIterator(data, 4, **options),
    lambda data, **options: iterators.MultithreadIterator(
        data, 4, n_threads=2, **options),
    lambda data, **options: iterators.MultiprocessIterator(
        data, 4, n_processes=1, **options),
], ids=['serial', 'threads', 'processes'])
@pytest.mark.filterwarnings('ignore:setDaemon', 'ignore:.*use of fork')
def test_iterator(make, tmp_path):
    def order():
        return iterators.ShuffleOrderSampler(numpy.random.RandomState(SEED))

    iterator = make(_squares(), order_sampler=order())
    try:
        seen = []
        while iterator.epoch < 1:
            seen += iterator.next()
        assert sorted(x for x, _ in seen[:10]) == list(range(10))
        assert iterator.epoch_detail == 1.2

        chainer.serializers.save_npz(str(tmp_path / 'iterator'), iterator)
        other = make(_squares(), order_sampler=order())
        chainer.serializers.load_npz(str(tmp_path / 'iterator'), other)
        try:
            assert other.epoch_detail == iterator.epoch_detail
            assert other.next() == iterator.next()
        finally:
            other.finalize()
    finally:
        iterator.finalize()
