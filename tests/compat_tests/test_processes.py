"""Processes that Chainer starts, under each way of starting them.

A program of its own in a file, as a user has it, which imports mixnorm only
after it is clear that it is no worker.
"""

import numpy
import pytest

from compat_tests.programs import run

START = '''
import multiprocessing
import sys

if __name__ == '__main__':
    multiprocessing.set_start_method(sys.argv[1])
    import mixnorm
    import chainer
    from chainer.training.extensions import snapshot_writers
    import numpy
'''

ITERATE = START + '''
    x = numpy.arange(20, dtype=numpy.float32).reshape(10, 2)
    data = chainer.datasets.TupleDataset(x, numpy.arange(10))
    with chainer.iterators.MultiprocessIterator(
            data, 4, n_processes=2, shuffle=False, repeat=False) as iterator:
        for batch in iterator:
            print([(x.tolist(), int(t)) for x, t in batch])
'''

WRITE = START + '''
    for name in 'ProcessWriter', 'ProcessQueueWriter':
        writer = getattr(snapshot_writers, name)()
        writer(name, sys.argv[2], {'a': numpy.arange(3)})
        writer.finalize()
'''


def _run(folder, program, *arguments):
    path = folder / 'program.py'
    path.write_text(program)
    return run(str(path), *arguments)


@pytest.mark.parametrize('method', ['fork', 'spawn', 'forkserver'])
def test_iterator(method, tmp_path):
    points = [([2. * i, 2. * i + 1], i) for i in range(10)]
    assert _run(tmp_path, ITERATE, method) == ''.join(
        f'{points[start:start + 4]}\n' for start in (0, 4, 8))


@pytest.mark.parametrize('method', ['fork', 'spawn', 'forkserver'])
def test_snapshot_writers(method, tmp_path):

    _run(tmp_path, WRITE, method, str(tmp_path))
    for name in 'ProcessWriter', 'ProcessQueueWriter':
        with numpy.load(tmp_path / name) as saved:
            assert saved['a'].tolist() == [0, 1, 2]
