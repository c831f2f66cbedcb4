"""Small runs, trained once for all tests of tools.inspect."""

import pytest

from train import classifier
from train_tests.small_runs import SMALL


def _train(folder, *arguments):
    argv = [*SMALL, '--epoch', '4', '--out', str(folder), *arguments]
    assert classifier.main(argv) == 0
    return folder


@pytest.fixture(scope='session')
def runs(tmp_path_factory):
    """Folder of runs: batch, mixture (at conv1, conv2, conv3) and mode."""
    folder = tmp_path_factory.mktemp('runs')
    _train(folder / 'batch')
    _train(folder / 'mixture', '--normalizer', 'mixture', '--components', '2',
           '--at', 'conv1', 'conv2', 'conv3', '--log-every', '3')
    _train(folder / 'mode', '--normalizer', 'mode', '--modes', '3',
           '--at', 'conv1', 'conv4')
    return folder


@pytest.fixture
def inspect(capfd):
    """Runs the tool; returns status, output and errors."""
    from tools.inspect import __main__

    def inspect(*arguments):
        capfd.readouterr()
        try:
            status = __main__.main(list(map(str, arguments)))
        except SystemExit as stop:
            status = stop.code
        return (status, *capfd.readouterr())
    return inspect
