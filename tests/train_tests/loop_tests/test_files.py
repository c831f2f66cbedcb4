import pytest

from train.command_line import UserError
from train.loop import files


def test_write_and_read(tmp_path):
    path = tmp_path / 'file.json'
    value = {'a': [1, .1, None, True], 'b': {'c': 'd'}}
    files.write_json(str(path), {'x': 1})
    files.write_json(str(path), value)
    assert files.read_json(str(path), 'a file') == value
    assert list(tmp_path.iterdir()) == [path]


def test_failed_write_loses_nothing(tmp_path):
    path = tmp_path / 'file.json'
    path.write_text('{"before": 1}')
    with pytest.raises(TypeError):
        files.write_json(str(path), {'a': list(range(10000)), 'b': {1, 2}})
    assert path.read_text() == '{"before": 1}'
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize('content', ['', '{', '[]', '3', b'\xff\xfe{}'])
def test_read_something_else(content, tmp_path):
    path = tmp_path / 'file.json'
    path.write_bytes(
        content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match='file.json is not a file of mine'):
        files.read_json(str(path), 'a file of mine')


def test_read_nothing(tmp_path):
    with pytest.raises(UserError, match='there is no .*file.json, a file'):
        files.read_json(str(tmp_path / 'file.json'), 'a file of mine')


def test_remove(tmp_path):
    for name in 'abc':
        (tmp_path / name).write_text(name)
    files.remove(str(tmp_path), ['a', 'c', 'd'])
    files.remove(str(tmp_path / 'nowhere'), ['a'])
    assert [path.name for path in tmp_path.iterdir()] == ['b']
