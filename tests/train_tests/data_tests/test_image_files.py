import multiprocessing
import os

import numpy
import pytest

from train.command_line import UserError
from train.data import image_files
from train.data.image_decoding import read_image
from train_tests.image_folders import CLASSES, write_archives, write_folder

_MEAN = numpy.array([.485, .456, .406])[:, None, None]
_DEVIATION = numpy.array([.229, .224, .225])[:, None, None]


def _listed(folder):
    """Returns the paths of a folder's images with their classes' numbers."""
    return {os.path.join(name, file): label
            for label, name in enumerate(CLASSES)
            for file in os.listdir(str(folder / name))}


def test_every_image_of_a_folder_with_its_class(tmp_path):
    write_folder(tmp_path)
    train, test, found = image_files.load([str(tmp_path)], 8)
    assert [found[key] for key in ('classes', 'train', 'test')] == [3, 21, 6]
    for part, name in ((train, 'train'), (test, 'val')):
        expected = sorted(
            (label, ((read_image(str(tmp_path / name), 8, path) / 255 - _MEAN)
                     / _DEVIATION).round(3).tolist())
            for path, label in _listed(tmp_path / name).items())
        images = part.images[:]
        assert images.dtype == numpy.float32
        assert images.shape == part.images.shape == (len(expected), 3, 8, 8)
        assert len(part.images) == len(expected)
        assert part.labels.dtype == numpy.int32
        order = sorted(range(len(expected)), key=lambda i: (
            part.labels[i], images[i].astype(float).round(3).tolist()))
        assert part.labels[order].tolist() == [pair[0] for pair in expected]
        numpy.testing.assert_allclose(
            images[order], [pair[1] for pair in expected], atol=2e-3)


def test_archives_hold_the_same(tmp_path):
    pairs = write_archives(tmp_path)
    of_folder = image_files.load([str(tmp_path / 'source')], 8)
    of_archives = image_files.load(pairs, 8)
    assert of_archives[2]['classes'] == 3
    for first, second in zip(of_folder[:2], of_archives[:2]):
        numpy.testing.assert_array_equal(first.labels, second.labels)
        numpy.testing.assert_array_equal(first.images[:], second.images[:])


def test_first_images_are_of_all_classes(tmp_path):
    write_folder(tmp_path)
    whole, _, found = image_files.load([str(tmp_path)], 8)
    train, test, of_part = image_files.load([str(tmp_path)], 8, 12, 4)
    assert len(train.images) == 12 and len(test.labels) == 4
    assert set(train.labels) == {0, 1, 2}
    numpy.testing.assert_array_equal(train.labels, whole.labels[:12])
    numpy.testing.assert_array_equal(train.images[:], whole.images[:12])
    assert of_part == found


def test_indices_and_slices(tmp_path):
    write_folder(tmp_path)
    images = image_files.load([str(tmp_path)], 8)[0].images
    whole = images[:]
    numpy.testing.assert_array_equal(images[[4, 1]], whole[[4, 1]])
    numpy.testing.assert_array_equal(images[18:30], whole[18:30])
    seeds = [7, None, 8]
    found = images.read([2, 3, 2], seeds)
    assert (found[0] != found[2]).any()
    numpy.testing.assert_array_equal(found[1], whole[3])
    numpy.testing.assert_array_equal(found, images.read([2, 3, 2], seeds))


def test_workers_read_the_same(tmp_path):
    write_folder(tmp_path)
    alone, *_ = image_files.load([str(tmp_path)], 8)
    train, test, _ = image_files.load([str(tmp_path)], 8, n_workers=2)
    seeds = list(range(21))
    try:
        numpy.testing.assert_array_equal(
            train.images.read(range(21), seeds),
            alone.images.read(range(21), seeds))
        # What goes wrong there is told here, and others go on.
        broken = tmp_path / 'val' / 'cat' / 'val0.JPEG'
        broken.write_bytes(b'')
        with pytest.raises(UserError, match='cannot identify') as error:
            test.images[:]
        assert str(broken) in str(error.value)
        numpy.testing.assert_array_equal(
            train.images[:3], alone.images[:3])
    finally:
        train.images.close()


def test_worker_that_is_killed(tmp_path):
    write_folder(tmp_path)
    train, *_ = image_files.load([str(tmp_path)], 8, n_workers=1)
    before = multiprocessing.active_children()
    try:
        train.images[:1]
        for child in multiprocessing.active_children():
            if child not in before:
                child.kill()
        with pytest.raises(UserError, match='was killed.*--workers'):
            train.images[:1]
    finally:
        train.images.close()


def test_digest_tells_sets_apart(tmp_path):
    write_folder(tmp_path / 'a')
    write_folder(tmp_path / 'b')
    # Copies are the same, wherever they are.
    found = [image_files.load([str(tmp_path / name)], 8)[2] for name in 'ab']
    assert found[0] == found[1]
    path = tmp_path / 'a' / 'train' / 'cat' / 'train0.JPEG'
    path.rename(path.with_name('other.JPEG'))
    again = image_files.load([str(tmp_path / 'a')], 8)[2]
    assert {key for key in again if again[key] != found[0][key]} == {'digest'}


def test_other_files_are_no_images(tmp_path):
    write_folder(tmp_path)
    before = image_files.load([str(tmp_path)], 8)[2]
    (tmp_path / 'train' / 'readme.txt').write_text('')
    (tmp_path / 'train' / 'cat' / 'notes.txt').write_text('')
    (tmp_path / 'train' / 'cat' / '.hidden.png').write_text('')
    (tmp_path / 'train' / '.cache').mkdir()
    assert image_files.load([str(tmp_path)], 8)[2] == before


def _remove(path):
    for one in path.iterdir():
        one.unlink() if one.is_file() else _remove(one)
    path.rmdir()


@pytest.mark.parametrize('change, words', [
    (lambda root: _remove(root / 'train'), 'there is no folder .*train'),
    (lambda root: _remove(root / 'val'), 'there is no folder .*val'),
    (lambda root: [_remove(root / 'train' / name) for name in CLASSES],
     'there is no class, a folder of images, in .*train'),
    (lambda root: (root / 'val' / 'fox').mkdir(),
     'no image in the class .*val/fox'),
    (lambda root: _remove(root / 'train' / 'dog'),
     'there is a class dog in val that train lacks'),
    (lambda root: [path.unlink() for path in (
        root / 'train' / 'emu').iterdir()], 'no image in the class .*emu')])
def test_folder_that_is_no_set(change, words, tmp_path):
    write_folder(tmp_path, 2, 1)
    change(tmp_path)
    with pytest.raises(UserError, match=words) as error:
        image_files.load([str(tmp_path)], 8)
    assert '\n' not in str(error.value)


def _edit(name, *change):
    def edit(root):
        path = root / name
        path.write_text(path.read_text().replace(*change))
    return edit


@pytest.mark.parametrize('change, words', [
    (lambda root: (root / 'val.zip').unlink(), 'no zip archive .*val.zip'),
    (lambda root: (root / 'train.txt').unlink(), 'no text file .*train.txt'),
    (lambda root: (root / 'val.zip').write_text('none'),
     'val.zip is no zip archive that can be read'),
    (lambda root: (root / 'val.txt').write_bytes(b'\xff\xfe'),
     'val.txt is no text file that can be read'),
    (lambda root: (root / 'val.txt').write_text(''), 'val.txt lists no'),
    (_edit('val.txt', 'dog/val0', 'dog/val9'),
     'val.txt names dog/val9.JPEG, which is not in .*val.zip'),
    (_edit('val.txt', 'JPEG 1', 'JPEG one'),
     "line 2 of .*val.txt must be .* not 'dog/val0.JPEG one'"),
    (_edit('train.txt', 'JPEG 0\n', 'JPEG\n'), 'line 1 of .*train.txt'),
    (_edit('train.txt', 'JPEG 0\n', 'JPEG -1\n'), 'line 1 of .*train.txt'),
    (_edit('train.txt', 'JPEG 1\n', 'JPEG 2\n'),
     'class 1 has no training image in .*train.txt'),
    (_edit('val.txt', 'JPEG 2\n', 'JPEG 3\n'),
     'class 3 has no training image'),
    # A list of so many classes would not fit in memory.
    (_edit('train.txt', 'JPEG 2\n', 'JPEG 10000000000000\n'),
     'class 2 has no training image')])
def test_archives_that_are_no_set(change, words, tmp_path):
    pairs = write_archives(tmp_path, 2, 1)
    change(tmp_path)
    with pytest.raises(UserError, match=words) as error:
        image_files.load(pairs, 8)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('which, n', [('train', 21), ('test', 6)])
def test_size_too_large(which, n, tmp_path):
    write_folder(tmp_path)
    with pytest.raises(UserError, match=f'--{which}-size {n + 1} is more'):
        image_files.load([str(tmp_path)], 8, **{f'{which}_size': n + 1})


def test_without_pillow(tmp_path, monkeypatch):
    monkeypatch.setattr(
        image_files.importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(UserError, match='pip install pillow'):
        image_files.load([str(tmp_path)], 8)


def test_paths_become_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert image_files.absolute(['a']) == [str(tmp_path / 'a')]
    assert image_files.absolute(['a.zip:a.txt', '/b.zip:b.txt']) == [
        f'{tmp_path}/a.zip:{tmp_path}/a.txt', f'/b.zip:{tmp_path}/b.txt']


@pytest.mark.parametrize('paths', [
    ['a', 'b'], ['a.zip:a.txt', 'b.zip'], ['a.zip:', 'b.zip:b.txt'],
    ['a.zip:a.txt', 'b.zip:b.txt', 'c.zip:c.txt']])
def test_neither_a_folder_nor_two_archives(paths):
    with pytest.raises(ValueError, match='must be one folder, or two zip'):
        image_files.absolute(paths)
