"""Batches of images, in an order that a snapshot can continue."""

import chainer
from chainer.iterators import SerialIterator, ShuffleOrderSampler

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

    """

    def __init__(self, images, labels, batch_size, random_state,
                 augment=None):
        super().__init__(range(len(images)), batch_size,
                         order_sampler=ShuffleOrderSampler(random_state))
        self._images = images
        self._labels = labels
        self._random_state = random_state
        self._augment = augment

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
            images = self._augment(images, random_state)
        return images, self._labels[indices]

    def serialize(self, serializer):
        super().serialize(serializer)
        serialize_random_state(self._random_state,
                               serializer['random_state'])


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
    """Sends a batch, a tuple of arrays, to a device."""
    return tuple(map(device.send, batch))
