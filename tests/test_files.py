import errno
import os

import pytest

from mixnorm.files import replacing


def test_replacing(tmp_path):
    path = tmp_path / 'file'
    path.write_text('before')
    with replacing(str(path)) as file:
        file.write('after')
        assert path.read_text() == 'before'
    assert path.read_text() == 'after'
    assert list(tmp_path.iterdir()) == [path]


def test_replacing_fails_in_between(tmp_path):
    path = tmp_path / 'file'
    path.write_bytes(b'before')
    with pytest.raises(KeyboardInterrupt):
        with replacing(str(path), 'wb') as file:
            file.write(b'after')
            assert path.read_bytes() == b'before'
            raise KeyboardInterrupt
    assert path.read_bytes() == b'before'
    assert list(tmp_path.iterdir()) == [path]


def test_full_disk_is_told_with_the_files_name(tmp_path):
    path = tmp_path / 'file'
    path.write_text('before')
    with pytest.raises(OSError) as caught:
        with replacing(str(path)):
            # As write() does where the disk is full: it names no file.
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert (caught.value.errno, caught.value.filename) == (
        errno.ENOSPC, str(path))
    assert path.read_text() == 'before'
    assert list(tmp_path.iterdir()) == [path]


def test_missing_folder_is_told_with_the_files_name(tmp_path):
    path = tmp_path / 'nowhere' / 'file'
    with pytest.raises(FileNotFoundError) as caught:
        with replacing(str(path)):
            pass
    assert caught.value.filename == str(path)


def test_error_with_another_file_is_told_as_it_is(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        with replacing(str(tmp_path / 'file')):
            open(tmp_path / 'other')
    assert caught.value.filename == str(tmp_path / 'other')
