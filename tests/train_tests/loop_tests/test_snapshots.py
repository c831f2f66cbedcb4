"""Whatever happens, the last good snapshot stands."""

import json
import pathlib
import random
import subprocess
import sys
import time

import chainer.links as L
import numpy
import pytest

from train.loop import snapshots
from train.command_line import UserError


ROOT = pathlib.Path(__file__).resolve().parents[3]

# Saves its own count for ever, in an array that takes a while to write.
SAVE_FOR_EVER = '''
import sys
sys.path.insert(0, sys.argv[1])
import mixnorm
import numpy
from train.loop import snapshots

class Count:
    count = 0
    def serialize(self, serializer):
        serializer('count', numpy.full(4000000, self.count))

count = Count()
while True:
    count.count += 1
    snapshots.save(sys.argv[2], count, {'count': count.count})
'''


class State:

    """Something to save, with one array."""

    def __init__(self, value):
        self.value = numpy.array(value, dtype=numpy.float32)

    def serialize(self, serializer):
        self.value = serializer('value', self.value)


def test_save_and_load(tmp_path):
    path = str(tmp_path / 'snapshot.npz')
    snapshots.save(path, State([1.5, 2]), {'lr': 0.1, 'at': ['conv3']})
    settings, arrays = snapshots.read(path)
    assert settings == {'lr': 0.1, 'at': ['conv3']}
    state = State([0, 0])
    snapshots.load(path, arrays, state)
    assert state.value.tolist() == [1.5, 2]
    assert [file.name for file in tmp_path.iterdir()] == ['snapshot.npz']


def test_kill_while_writing_leaves_a_whole_snapshot(tmp_path):
    path = tmp_path / 'snapshot.npz'
    unfinished = tmp_path / 'snapshot.npz.unfinished'
    seed = 0
    delays = random.Random(seed)
    n_hits = 0
    last = 0
    for _ in range(5):
        process = subprocess.Popen(
            [sys.executable, '-c', SAVE_FOR_EVER, str(ROOT), str(path)])
        try:
            # Until it has saved anew, so that the first snapshot is there
            # and every round's is told from the one before.
            before = path.stat().st_mtime_ns if path.exists() else None
            while not path.exists() or path.stat().st_mtime_ns == before:
                assert process.poll() is None
                time.sleep(0.001)
            while not unfinished.exists():
                assert process.poll() is None
            time.sleep(delays.uniform(0, 0.03))
        finally:
            process.kill()
            process.wait()
        n_hits += unfinished.exists()
        settings, arrays = snapshots.read(str(path))
        numpy.testing.assert_array_equal(
            arrays['trainer/count'],
            numpy.full(4000000, settings['count']),
            err_msg=f'seed {seed}')
        last = settings['count']
    assert last >= 1
    assert n_hits > 0, 'no kill came while a snapshot was written'


def test_failure_while_writing_keeps_the_old_one(tmp_path, monkeypatch):
    path = str(tmp_path / 'snapshot.npz')
    snapshots.save(path, State([1]), {'old': True})

    def write_half(file, **arrays):
        file.write(b'PK half')
        raise OSError(28, 'No space left on device')
    monkeypatch.setattr(numpy, 'savez', write_half)
    with pytest.raises(OSError, match='No space left'):
        snapshots.save(path, State([2]), {'old': False})
    settings, arrays = snapshots.read(path)
    assert settings == {'old': True}
    assert arrays['trainer/value'] == [1]
    assert [file.name for file in tmp_path.iterdir()] == ['snapshot.npz']


@pytest.mark.parametrize('share', [0, 0.01, 0.3, 0.7, 0.99])
def test_truncated_snapshot(share, tmp_path):
    path = tmp_path / 'snapshot.npz'
    snapshots.save(str(path), State(numpy.arange(1000)), {})
    content = path.read_bytes()
    path.write_bytes(content[:int(share * len(content))])
    with pytest.raises(UserError, match='snapshot.npz is damaged'):
        snapshots.read(str(path))


def test_flipped_bits(tmp_path):
    path = tmp_path / 'snapshot.npz'
    snapshots.save(str(path), State(numpy.arange(1000)), {})
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xff
    path.write_bytes(bytes(content))
    with pytest.raises(UserError, match='snapshot.npz is damaged'):
        snapshots.read(str(path))


def _write_text(path):
    path.write_text('this is not a snapshot')


def _write_model(path):
    numpy.savez(path, **{'conv1/W': numpy.zeros(3)})


def _write_array(path):
    with open(path, 'wb') as file:
        numpy.save(file, numpy.zeros(3))


def _write_pickle(path):
    numpy.savez(path, settings=numpy.array({'lr': 1}, dtype=object))


@pytest.mark.parametrize(
    'write', [_write_text, _write_model, _write_array, _write_pickle])
def test_foreign_file(write, tmp_path):
    write(tmp_path / 'snapshot.npz')
    with pytest.raises(UserError, match='no snapshot of a training run'):
        snapshots.read(str(tmp_path / 'snapshot.npz'))


def test_no_file(tmp_path):
    with pytest.raises(UserError, match='there is no snapshot'):
        snapshots.read(str(tmp_path / 'snapshot.npz'))


def test_snapshot_of_another_state(tmp_path):
    path = str(tmp_path / 'snapshot.npz')
    numpy.savez(path, settings=json.dumps({}), other=numpy.zeros(3))
    _, arrays = snapshots.read(path)
    with pytest.raises(UserError, match='does not fit'):
        snapshots.load(path, arrays, State([1]))


class Updater:

    """Something whose model is saved as a trainer's is."""

    def __init__(self, model):
        self.model = model

    def serialize(self, serializer):
        self.model.serialize(serializer['updater']['model:main'])


def test_model_alone(tmp_path):
    path = str(tmp_path / 'snapshot.npz')
    snapshots.save(path, Updater(L.BatchNormalization(2)), {})
    _, arrays = snapshots.read(path)
    link = L.BatchNormalization(2)
    link.gamma.array[...] = link.avg_mean[...] = 7
    snapshots.load_model(path, arrays, link)
    assert link.gamma.array.tolist() == [1, 1]
    assert link.avg_mean.tolist() == [0, 0]
    for other in (L.BatchNormalization(3), L.Linear(2, 2)):
        with pytest.raises(UserError, match='does not fit the model'):
            snapshots.load_model(path, arrays, other)
