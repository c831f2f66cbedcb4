"""Runs of train.classifier on images in files."""

import json
import os

import numpy
import pytest

from train.run_model import load_run
from train_tests.image_folders import write_archives, write_folder
from train_tests.small_runs import read_log


_SMALL = ('--dataset images --image-size 8 --widths 2 2 2 4 --batch-size 4 '
          '--log-every 1').split()


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / 'images')


@pytest.fixture
def train(run, folder):
    """Runs a small network on the folder, in the process of the test."""
    def train(*arguments, out='run', images=(folder,), workers=0):
        return run(*_SMALL, '--images', *images, '--workers', workers,
                   *arguments, out=out)
    return train


def _state(folder):
    """Returns what a snapshot holds of the model and of the batches."""
    with numpy.load(folder / 'snapshot.npz') as file:
        return {name: file[name].tolist() for name in file.files
                if name.startswith(('trainer/updater/model:main',
                                    'trainer/updater/iterator:main'))}


def test_run_is_resumed_bit_for_bit_whoever_reads(train, run, tmp_path):
    assert train('--iterations', 7, out='whole')[0] == 0
    assert train('--iterations', 3, out='parts', workers=2)[0] == 0
    assert run('--resume', '--iterations', 7, '--workers', 0, out='parts')[
        0] == 0
    assert read_log(tmp_path / 'parts')[3:] == read_log(
        tmp_path / 'whole')[3:]
    assert _state(tmp_path / 'parts') == _state(tmp_path / 'whole')


def test_archives_train_as_the_folder_does(train, tmp_path):
    pairs = write_archives(tmp_path)
    assert train('--iterations', 2, out='folder')[0] == 0
    assert train('--iterations', 2, out='archives', images=pairs)[0] == 0
    assert read_log(tmp_path / 'folder') == read_log(tmp_path / 'archives')


def test_network_and_description(train, tmp_path, folder):
    assert train('--iterations', 1, '--recalibrate', 2)[0] == 0
    settings = json.loads((tmp_path / 'run' / 'run.json').read_text())[
        'settings']
    assert settings['images'] == [str(folder)]
    image_set = settings['image_set']
    assert [image_set[key] for key in ('classes', 'train', 'test')] == [
        3, 21, 6]
    with numpy.load(tmp_path / 'run' / 'snapshot.npz') as file:
        W = file['trainer/updater/model:main/predictor/linear/W']
    assert W.shape == (3, 4)
    assert 'recalibrated/validation/main/accuracy' in read_log(
        tmp_path / 'run')[-1]


def _remove_image(folder):
    (folder / 'train' / 'cat' / 'train0.JPEG').unlink()


def _rename_image(folder):
    path = folder / 'val' / 'dog' / 'val0.JPEG'
    path.rename(path.with_name('other.JPEG'))


@pytest.mark.parametrize('change, words', [
    (_remove_image, '21 training images and 6 test images of 3 classes, '
                    'digest '),
    (_rename_image, 'has changed since the run was started')])
def test_changed_images_are_not_resumed(
        change, words, train, run, folder, tmp_path):
    assert train('--iterations', 2)[0] == 0
    change(folder)
    before = {path.name: path.read_bytes()
              for path in (tmp_path / 'run').iterdir()}
    status, _, errors = run('--resume', '--iterations', 4)
    assert status == 2
    assert words in errors and errors.count('\n') == 1
    assert str(folder) in errors
    assert before == {path.name: path.read_bytes()
                      for path in (tmp_path / 'run').iterdir()}


def test_another_folder_is_not_resumed(train, run, tmp_path):
    assert train('--iterations', 2)[0] == 0
    other = write_folder(tmp_path / 'other')
    status, _, errors = run('--resume', '--images', other)
    assert status == 2
    assert f'--images {other} differs from the' in errors
    assert errors.count('\n') == 1


def test_images_that_are_gone_are_not_resumed(train, run, folder, tmp_path):
    assert train('--iterations', 2)[0] == 0
    os.rename(str(folder), str(tmp_path / 'moved'))
    status, _, errors = run('--resume', '--iterations', 4)
    assert status == 2 and 'there is no folder' in errors


@pytest.mark.parametrize('workers', [0, 1])
def test_broken_image_ends_the_run_and_keeps_the_snapshot(
        workers, train, run, folder, tmp_path):
    assert train('--iterations', 8, '--snapshot-every', 1, out='whole')[
        0] == 0
    broken = folder / 'train' / 'emu' / 'train3.PNG'
    data = broken.read_bytes()
    broken.write_bytes(data[:60])
    status, _, errors = train('--iterations', 8, '--snapshot-every', 1,
                              workers=workers)
    assert status == 2
    assert errors.count('\n') == 1
    assert errors.startswith(
        f'python -m train.classifier: error: cannot read the image {broken}: ')
    with numpy.load(tmp_path / 'run' / 'snapshot.npz') as file:
        assert 0 < file['trainer/updater/iteration'] < 8
    broken.write_bytes(data)
    assert run('--resume')[0] == 0
    assert _state(tmp_path / 'run') == _state(tmp_path / 'whole')


@pytest.mark.parametrize('part, is_there', [
    ('train', False), ('train', True), ('val', False)])
def test_broken_image_before_the_first_snapshot_leaves_nothing(
        part, is_there, train, folder, tmp_path):
    broken = next((folder / part / 'dog').iterdir())
    data = broken.read_bytes()
    broken.write_bytes(data[:60])
    if is_there:
        (tmp_path / 'run').mkdir()
        (tmp_path / 'run' / 'notes.txt').write_text('mine')
    before = sorted(tmp_path.rglob('*'))
    status, _, errors = train('--epoch', 1)
    assert status == 2
    assert errors.count('\n') == 1 and str(broken) in errors
    assert sorted(tmp_path.rglob('*')) == before
    broken.write_bytes(data)
    assert train('--epoch', 1)[0] == 0


@pytest.mark.parametrize('arguments, words', [
    (['--images', '{}'], '--images goes with --dataset images, not digits'),
    (['--image-size', '8'], '--image-size goes with --dataset images'),
    (['--workers', '1'], '--workers goes with --dataset images'),
    (['--dataset', 'images'], '--dataset images needs --images FOLDER'),
    (['--dataset', 'images', '--images', '{}/train'], 'there is no folder'),
    (['--dataset', 'images', '--images', '{}', '{}'], 'must be one folder'),
    (['--dataset', 'images', '--images', '{}', '--batch-size', '22'],
     '--batch-size 22 is more than the 21 training images'),
    (['--dataset', 'images', '--images', '{}', '--train-size', '22'],
     '--train-size 22 is more than the 21'),
    (['--dataset', 'images', '--images', '{}', '--image-size', '0'],
     '--image-size: must be an integer of at least 1'),
    (['--dataset', 'images', '--images', '{}', '--image-size', '1',
      '--batch-size', '4'], 'images of 1x1 pixels (with --dataset images, '
     '--image-size) are too small'),
    (['--dataset', 'images', '--images', '{}', '--image-size', '8',
      '--batch-size', '4', '--network', 'inception-v3'],
     'images of 8x8 pixels (with'),
    (['--dataset', 'images', '--images', '{}', '--workers', '-1'],
     '--workers: must be an integer of at least 0')])
def test_user_error_is_one_line(arguments, words, run, folder, tmp_path):
    status, _, errors = run(*(text.format(folder) for text in arguments))
    assert status == 2
    assert words in errors and errors.count('\n') == 1
    assert not (tmp_path / 'run').exists()


def test_model_of_the_run_and_its_images(train, tmp_path):
    assert train('--iterations', 1)[0] == 0
    found = load_run(str(tmp_path / 'run'))
    assert found.model(found.test.images[:2]).shape == (2, 3)
    assert len(found.train.labels) == 21
