"""What each worker does for test_training.py, in the folder given."""

import signal
import sys
import warnings

import mixnorm  # NOQA  (makes Chainer importable, so it comes first)

from train import classifier
from train import multitask
from train.data.batches import BatchIterator

SMALL = ('--widths 4 4 4 8 --train-size 96 --test-size 30 --batch-size 20 '
         '--normalizer mixture --at conv2 --seed 3').split()
MULTITASK = ('--widths 2 4 8 8 --train-size 60 --test-size 30 --batch-size 20 '
             '--iterations 4 --normalizer mode').split()


def train_all(folder, more=()):
    """Runs what the test compares; returns exit statuses."""
    return [
        classifier.main([
            *SMALL, *more, '--iterations', '6', '--log-every', '1',
            '--out', f'{folder}/whole']),
        classifier.main([
            *SMALL, *more, '--iterations', '3', '--log-every', '1',
            '--snapshot-every', '3', '--out', f'{folder}/resumed']),
        classifier.main([
            '--resume', '--iterations', '6', '--out', f'{folder}/resumed']),
        # It has dropout.
        classifier.main([
            *'--network nin --train-size 24 --test-size 10 --batch-size 12 '
            '--iterations 3 --log-every 1 --lr 1e-4'.split(), *more,
            '--out', f'{folder}/nin']),
        multitask.main([*MULTITASK, *more, '--out', f'{folder}/multitask'])]


def fail(what, folder):
    """Has the second worker fail, as its third batch is taken or at once."""
    import chainermn
    from mpi4py import MPI
    take, n_taken = BatchIterator.__next__, []

    def next_or_fail(iterator):
        n_taken.append(1)
        if len(n_taken) == 3:
            if what == 'interrupt':
                for _ in range(2):
                    signal.raise_signal(signal.SIGINT)
            raise RuntimeError('lost its images')
        return take(iterator)

    def create_no_communicator(name):
        raise RuntimeError('has no such GPU')

    if MPI.COMM_WORLD.rank == 1:
        if what == 'start':
            chainermn.create_communicator = create_no_communicator
        else:
            BatchIterator.next = BatchIterator.__next__ = next_or_fail
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return classifier.main([
        *SMALL, '--communicator', 'naive', '--out', f'{folder}/failed'])


if __name__ == '__main__':
    warnings.simplefilter('ignore')
    what, folder = sys.argv[1:]
    if what == 'train':
        sys.exit(max(train_all(folder, ('--communicator', 'naive'))))
    sys.exit(fail(what, folder))
