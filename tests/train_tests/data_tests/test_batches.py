import chainer
import numpy
import pytest

from train.data.augmentation import flip_and_crop
from train.command_line import UserError
from train.data.batches import BatchIterator
from train.data.batches import FileBatchIterator
from train.data.batches import send


def _iterator(seed=0, n=10, batch_size=4, augment=None):
    images = numpy.random.RandomState(5).uniform(
        size=(n, 1, 8, 8)).astype(numpy.float32)
    images[:, 0, 0, 0] = numpy.arange(n)
    return BatchIterator(images, numpy.arange(n, dtype=numpy.int32) * 2,
                         batch_size, numpy.random.RandomState(seed), augment)


def test_every_epoch_is_a_new_order_of_all_images():
    iterator = _iterator()
    labels, epochs = [], []
    for _ in range(15):
        images, part = next(iterator)
        assert len(part) == 4
        numpy.testing.assert_array_equal(images[:, 0, 0, 0] * 2, part)
        labels.extend(part.tolist())
        epochs.append(iterator.epoch)
    orders = [tuple(labels[start:start + 10]) for start in range(0, 60, 10)]
    assert all(sorted(order) == list(range(0, 20, 2)) for order in orders)
    assert len(set(orders)) == 6
    assert epochs == [4 * i // 10 for i in range(1, 16)]


def test_gathered_images_are_no_batch_of_the_iterators():
    def augment(images, random_state):
        return images + random_state.randint(100, size=(len(images), 1, 1, 1))
    iterators = [_iterator(augment=augment) for _ in range(2)]
    plain = _iterator()
    images, labels = iterators[0].gather([7, 2], numpy.random.RandomState(3))
    expected, _ = plain.gather([7, 2], None)
    assert labels.tolist() == [14, 4] and expected[:, 0, 0, 0].tolist() == [
        7, 2]
    numpy.testing.assert_allclose(
        images - expected, numpy.broadcast_to(
            numpy.random.RandomState(3).randint(100, size=(2, 1, 1, 1)),
            images.shape), 1e-5)
    # It goes on as if nothing had been gathered.
    for _ in range(4):
        for found, after in zip(*map(next, iterators)):
            numpy.testing.assert_array_equal(found, after)


def test_seed_decides():
    def labels(seed):
        iterator = _iterator(seed)
        return [next(iterator)[1].tolist() for _ in range(8)]
    assert labels(1) == labels(1)
    assert labels(1) != labels(2)


@pytest.mark.parametrize('n_before', range(8))
def test_loaded_iterator_goes_on_as_the_saved_one(n_before, tmp_path):
    saved = _iterator(seed=3, augment=flip_and_crop)
    for _ in range(n_before):
        next(saved)
    chainer.serializers.save_npz(tmp_path / 'iterator.npz', saved)
    loaded = _iterator(seed=4, augment=flip_and_crop)
    chainer.serializers.load_npz(tmp_path / 'iterator.npz', loaded)
    for _ in range(12):
        for expected, actual in zip(next(saved), next(loaded)):
            numpy.testing.assert_array_equal(actual, expected)
        assert loaded.epoch_detail == saved.epoch_detail
        assert loaded.is_new_epoch == saved.is_new_epoch


def test_global_generator_is_left_alone():
    numpy.random.seed(0)
    expected = numpy.random.uniform()
    numpy.random.seed(0)
    iterator = _iterator(augment=flip_and_crop)
    for _ in range(5):
        next(iterator)
    assert numpy.random.uniform() == expected


class _Files:

    """Stands in for images in files: what is read are indices and seeds."""

    def __init__(self, n=10, broken=None):
        self.reads = []
        self.broken = broken
        self._n = n

    def __len__(self):
        return self._n

    def read(self, indices, seeds):
        self.reads.append(list(indices))
        if self.broken in indices:
            raise UserError(f'{self.broken} is broken')
        return numpy.column_stack([indices, seeds])

    def close(self):
        self.reads.append('closed')


def _file_iterator(seed=0, **options):
    return FileBatchIterator(
        _Files(**options), numpy.arange(10) * 2, 4,
        numpy.random.RandomState(seed))


def test_files_are_read_as_if_none_were_read_ahead():
    """By the draws of a generator: an order each epoch, seeds each batch."""
    iterator = _file_iterator(seed=6)
    random = numpy.random.RandomState(6)
    rest = random.permutation(10).tolist()
    for n_done in range(1, 12):
        if len(rest) <= 4:
            rest += random.permutation(10).tolist()
        indices, rest = rest[:4], rest[4:]
        seeds = random.randint(2 ** 32, size=4, dtype=numpy.uint32)
        images, labels = next(iterator)
        numpy.testing.assert_array_equal(
            images, numpy.column_stack([indices, seeds]))
        assert labels.tolist() == [2 * index for index in indices]
        assert iterator.epoch == 4 * n_done // 10
        assert iterator.epoch_detail == 4 * n_done / 10
        assert iterator.is_new_epoch == (4 * n_done % 10 < 4)
    iterator.finalize()
    # Each batch was read once, and one ahead.
    *reads, last = iterator._images.reads
    assert len(reads) == 12 and last == 'closed'


@pytest.mark.parametrize('n_before', range(8))
def test_loaded_iterator_over_files_goes_on_as_the_saved_one(
        n_before, tmp_path):
    saved, loaded = _file_iterator(seed=3), _file_iterator(seed=4)
    for _ in range(n_before):
        next(saved)
    chainer.serializers.save_npz(tmp_path / 'iterator.npz', saved)
    next(loaded)
    chainer.serializers.load_npz(tmp_path / 'iterator.npz', loaded)
    for _ in range(12):
        for expected, actual in zip(next(saved), next(loaded)):
            numpy.testing.assert_array_equal(actual, expected)
        assert loaded.epoch_detail == saved.epoch_detail
        assert loaded.is_new_epoch == saved.is_new_epoch
    for iterator in (saved, loaded):
        iterator.finalize()


def test_broken_file_is_told_when_its_batch_is_due():
    order = numpy.random.RandomState(0).permutation(10)
    iterator = _file_iterator(broken=order[6])
    next(iterator)
    with pytest.raises(UserError, match=f'{order[6]} is broken'):
        next(iterator)
    iterator.finalize()


def test_gathered_files_are_no_batch_of_the_iterators():
    iterators = [_file_iterator() for _ in range(2)]
    next(iterators[0])
    next(iterators[1])
    images, labels = iterators[0].gather(
        numpy.array([7, 2]), numpy.random.RandomState(3))
    numpy.testing.assert_array_equal(images, numpy.column_stack([
        [7, 2], numpy.random.RandomState(3).randint(
            2 ** 32, size=2, dtype=numpy.uint32)]))
    assert labels.tolist() == [14, 4]
    for _ in range(4):
        for found, after in zip(*map(next, iterators)):
            numpy.testing.assert_array_equal(found, after)
    for iterator in iterators:
        iterator.finalize()


def test_send():
    batch = next(_iterator())
    images, labels = send(batch, chainer.get_device('@numpy'))
    assert images.dtype == numpy.float32 and labels.dtype == numpy.int32
    numpy.testing.assert_array_equal(images, batch[0])
