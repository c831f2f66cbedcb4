"""Batches of images, in an order that a snapshot can continue."""

from concurrent.futures import ThreadPoolExecutor

import chainer
from chainer.iterators import SerialIterator, ShuffleOrderSampler
import numpy

from train.command_line import UserError


class BatchIterator(SerialIterator):

    """Iterator over shuffled, augmented batches, gathered as whole arrays.

    It repeats for ever. Every batch is full: one that reaches the end of an
    epoch goes on with the next. All random numbers, those of the orders to
    come included, are drawn from one generator that is saved with the
    iterator, so a loaded iterator goes on exactly as the saved one.

    Args:
        images (numpy.ndarray): Images of shape ``(N, C, H, W)``.
        labels (numpy.ndarray): Labels of shape ``(N,)``.
        batch_size (int): Number of images in a batch.
        random_state (numpy.random.RandomState): The generator, which nothing
            else may draw from.
        augment (callable or None): Takes a batch of images and the generator,
            returns the changed batch.
        share (slice): Which part of every batch to return: this worker's.

    """

    def __init__(self, images, labels, batch_size, random_state,
                 augment=None, share=slice(None)):
        super().__init__(range(len(images)), batch_size,
                         order_sampler=ShuffleOrderSampler(random_state))
        self._images = images
        self._labels = labels
        self._random_state = random_state
        self._augment = augment
        self._share = share

    def __next__(self):
        return self.gather(super().__next__(), self._random_state)

    next = __next__

    def gather(self, indices, random_state):
        """Gathers images, whichever they are, as a batch.

        Args:
            indices (list of int): Which images.
            random_state (numpy.random.RandomState): What ``augment`` draws
                from.

        Returns:
            tuple: Images and labels.

        """
        images = self._images[indices]
        if self._augment is not None:
            # All of them, so that the workers' draws stay the same.
            images = self._augment(images, random_state)
        return images[self._share], self._labels[indices][self._share]

    def serialize(self, serializer):
        super().serialize(serializer)
        serialize_random_state(self._random_state,
                               serializer['random_state'])


class FileBatchIterator(BatchIterator):

    """Iterator over batches of images in files, of which it reads one ahead.

    While a batch is trained on, a thread reads the next. The iterator's state
    is that of the batch it returned last, as if it had drawn no other.

    Args:
        images (~train.data.image_files.ImageFiles): The images, of which each
            is cropped by a seed of its own.
        labels (numpy.ndarray): Labels of shape ``(N,)``.
        batch_size (int): Number of images in a batch.
        random_state (numpy.random.RandomState): The generator, which nothing
            else may draw from.
        share (slice): Which part of every batch to read: this worker's.

    """

    def __init__(self, images, labels, batch_size, random_state,
                 share=slice(None)):
        super().__init__(
            images, labels, batch_size, random_state, share=share)
        self._reader = ThreadPoolExecutor(1)
        self._ahead = None

    def __next__(self):
        draws = self._draw()
        # Where a snapshot was loaded, the iterator goes on elsewhere.
        if self._ahead is None or self._ahead[0] != draws:
            self._read_ahead(draws)
        _, batch = self._ahead
        images = batch.result()
        state = (self._state, self._previous_epoch_detail,
                 self._random_state.get_state())
        self._read_ahead(self._draw())
        self._state, self._previous_epoch_detail, random = state
        self._random_state.set_state(random)
        return images, self._labels[draws[0][self._share]]

    next = __next__

    def gather(self, indices, random_state):
        seeds = _crop_seeds(indices, random_state)
        return (self._read(indices, seeds),
                self._labels[indices[self._share]])

    def finalize(self):
        """Ends the thread, and the processes that read images for it."""
        self._reader.shutdown()
        self._images.close()

    def _draw(self):
        """Returns which images are next, and the seeds of their crops."""
        indices = SerialIterator.__next__(self)
        return indices, _crop_seeds(indices, self._random_state)

    def _read_ahead(self, draws):
        self._ahead = draws, self._reader.submit(self._read, *draws)

    def _read(self, indices, seeds):
        return self._images.read(indices[self._share], seeds[self._share])


def _crop_seeds(indices, random_state):
    return random_state.randint(
        2 ** 32, size=len(indices), dtype=numpy.uint32).tolist()


def serialize_random_state(random_state, serializer):
    """Saves or loads a generator's state.

    Args:
        random_state (numpy.random.RandomState): The generator.
        serializer (~chainer.AbstractSerializer): Where to, or from.

    """
    name, keys, position, has_gauss, gauss = random_state.get_state()
    random_state.set_state((
        name, serializer('keys', keys), serializer('position', position),
        serializer('has_gauss', has_gauss), serializer('gauss', gauss)))


def check_batch_size(batch_size, labels):
    """Raises UserError if a batch is larger than the training set."""
    if batch_size > len(labels):
        raise UserError(f'--batch-size {batch_size} is more than the '
                        f'{len(labels)} training images')


@chainer.dataset.converter()
def send(batch, device):
    """Sends images and labels to a device, the images in the dtype in which \
networks compute."""
    images, labels = batch
    dtype = chainer.get_dtype(map_mixed16=numpy.float16)
    return device.send(images.astype(dtype, copy=False)), device.send(labels)
