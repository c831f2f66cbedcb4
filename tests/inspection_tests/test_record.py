import numpy
import pytest

from mixnorm.inspection import read_record, Record
from mixnorm.inspection.record import write_record


def _record(n=3, k=2):
    return Record('mixture', numpy.arange(n), numpy.arange(n) / 2,
                  numpy.full(n, 2.), numpy.ones((n, k), 'f'),
                  numpy.ones((n, k, 4), 'f'), numpy.ones((n, k, 4), 'f'))


def test_what_is_written_is_read(tmp_path):
    file = tmp_path / 'mixture.npz'
    records = {'/': _record(), '/a/b/0': _record(5, 3)}
    write_record(file, records)
    found = read_record(str(file))
    assert found.keys() == records.keys()
    for path, record in records.items():
        assert found[path].kind == 'mixture'
        for ours, theirs in zip(found[path], record):
            numpy.testing.assert_array_equal(ours, theirs)
    assert [path.name for path in tmp_path.iterdir()] == ['mixture.npz']


def test_failure_leaves_the_file_before(tmp_path, monkeypatch):
    file = tmp_path / 'mixture.npz'
    write_record(file, {'/a': _record()})
    before = file.read_bytes()

    def fail(*args, **kwargs):
        raise OSError('full')
    monkeypatch.setattr(numpy, 'savez', fail)
    with pytest.raises(OSError):
        write_record(file, {'/b': _record()})
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ['mixture.npz']


def _cut(path):
    path.write_bytes(path.read_bytes()[:-60])


@pytest.mark.parametrize('spoil', [
    _cut, lambda path: path.write_bytes(b''),
    lambda path: path.write_text('weights'),
    lambda path: numpy.savez(path, **{'weights/a': numpy.ones(3)}),
    lambda path: numpy.savez(path, numpy.array([object()])),
    lambda path: write_record(path, {'/a': _record()._replace(
        epochs=numpy.zeros(1))})])
def test_something_else(spoil, tmp_path):
    file = tmp_path / 'mixture.npz'
    write_record(file, {'/a': _record()})
    spoil(file)
    with pytest.raises(ValueError, match='mixture.npz is no record'):
        read_record(file)


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_record(tmp_path / 'mixture.npz')
