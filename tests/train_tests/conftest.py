"""Fixtures of the tests of the training scripts."""

import pathlib
import signal

import chainer
import numpy
import pytest

from train import classifier
from train import gan
from train.data.batches import BatchIterator


ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _clone_on_the_path(monkeypatch):
    """Has modules that are started from any folder be this clone's."""
    monkeypatch.setenv('PYTHONPATH', str(ROOT))


@pytest.fixture(autouse=True)
def _use_of_ideep_stays(monkeypatch):
    """Has what scripts set for their process end with the test."""
    monkeypatch.setattr(
        chainer.global_config, 'use_ideep', chainer.global_config.use_ideep)


def _runner(main, tmp_path, capfd):
    def run(*arguments, out='run'):
        capfd.readouterr()
        argv = list(map(str, arguments)) + ['--out', str(tmp_path / out)]
        try:
            status = main(argv)
        except SystemExit as stop:
            status = stop.code
        output, errors = capfd.readouterr()
        return status, output, errors
    return run


@pytest.fixture
def run(tmp_path, capfd):
    """Runs the classifier in tmp_path; returns status, output and errors."""
    return _runner(classifier.main, tmp_path, capfd)


@pytest.fixture
def run_gan(tmp_path, capfd):
    """Runs train.gan in tmp_path; returns status, output and errors."""
    return _runner(gan.main, tmp_path, capfd)


@pytest.fixture
def stop_in(monkeypatch):
    """Has a signal come, once or more, while the n-th batch is taken."""
    # In a shell's background Ctrl-C would be ignored.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)

    def stop_in(n, number=signal.SIGINT, times=1):
        take = BatchIterator.__next__
        batches = []

        def next_and_signal(iterator):
            batches.append(take(iterator))
            if len(batches) == n:
                for _ in range(times):
                    signal.raise_signal(number)
            return batches[-1]
        monkeypatch.setattr(BatchIterator, '__next__', next_and_signal)
        monkeypatch.setattr(BatchIterator, 'next', next_and_signal)
    yield stop_in
    signal.signal(signal.SIGINT, handler)


@pytest.fixture
def image_cache(tmp_path):
    """A folder of Chainer's caches of random images, 10 test, 40 training."""
    random = numpy.random.RandomState(0)

    def images(n, size):
        return random.randint(256, size=(n, size)).astype(numpy.uint8)

    def labels(n, n_classes):
        return (numpy.arange(n) % n_classes).astype(numpy.uint8)

    folder = tmp_path / 'cache' / 'pfnet' / 'chainer'
    (folder / 'cifar').mkdir(parents=True)
    (folder / 'mnist').mkdir()
    for name, n_classes in (('cifar-10', 10), ('cifar-100', 100)):
        numpy.savez(
            folder / 'cifar' / (f'{name}.npz'),
            train_x=images(40, 3072), train_y=labels(40, n_classes),
            test_x=images(10, 3072), test_y=labels(10, n_classes))
    for name, n in (('train', 40), ('test', 10)):
        numpy.savez(folder / 'mnist' / (f'{name}.npz'),
                    x=images(n, 784), y=labels(n, 10))
    root = chainer.dataset.get_dataset_root()
    chainer.dataset.set_dataset_root(str(tmp_path / 'cache'))
    yield folder
    chainer.dataset.set_dataset_root(root)
