import json
import os
import pathlib
import shutil
import subprocess
import sys

import numpy
import pytest

from mixnorm.inspection import read_record


ROOT = pathlib.Path(__file__).resolve().parents[3]

_STARTS = {'png': b'\x89PNG', 'svg': b'<?xml', 'pdf': b'%PDF', 'gif': b'GIF8'}


@pytest.mark.parametrize('command, options, names', [
    ('densities', ['--channels', 1],
     ['densities-conv1-norm', 'densities-conv3-norm']),
    ('components', ['--channels', 1, '--at', .5, 1],
     ['components-conv1-norm', 'components-conv3-norm']),
    ('effective', [], ['effective']),
    ('samples', [], ['classes-conv1-norm', 'classes-conv3-norm',
                     'samples-conv1-norm', 'samples-conv3-norm']),
    ('maps', ['--images', 2], ['maps-conv1-norm', 'maps-conv3-norm'])])
def test_pictures(command, options, names, runs, inspect, tmp_path):
    pytest.importorskip('matplotlib')
    status, output, errors = inspect(
        command, runs / 'mixture', '--where', 'conv1', 'conv[37]*', '--out',
        tmp_path / 'a', '--json', *options)
    assert status == 0, errors
    found = json.loads(output)
    assert sorted(found['files']) == [
        str(tmp_path / 'a' / f'{name}.png') for name in names]
    assert sorted(found['figures']) == names
    assert sorted(path.name for path in (tmp_path / 'a').iterdir()) == [
        f'{name}.png' for name in names]
    for path in (tmp_path / 'a').iterdir():
        assert path.read_bytes().startswith(_STARTS['png'])


@pytest.mark.parametrize('ending', ['svg', 'pdf'])
def test_format(ending, runs, inspect, tmp_path):
    pytest.importorskip('matplotlib')
    status, output, _ = inspect('effective', runs / 'mode', '--format', ending,
                                '--out', tmp_path)
    path = tmp_path / f'effective.{ending}'
    assert (status, output) == (0, f'{path}\n')
    assert path.read_bytes().startswith(_STARTS[ending])


def test_default_folder_and_animation(runs, inspect, tmp_path):
    pytest.importorskip('matplotlib')
    pytest.importorskip('PIL')
    run = tmp_path / 'run'
    shutil.copytree(runs / 'mixture', run)
    status, output, _ = inspect(
        'components', run / 'snapshot.npz', '--where', 'conv2', '--channels',
        1, '--animate')
    path = run / 'inspect' / 'components-conv2-norm.gif'
    assert (status, output) == (0, f'{path}\n')
    assert path.read_bytes().startswith(_STARTS['gif'])


def test_numbers_over_training_are_those_recorded(runs, inspect, tmp_path):
    pytest.importorskip('matplotlib')
    record = read_record(runs / 'mixture' / 'mixture.npz')[
        '/predictor/conv2/norm']
    figures = json.loads(inspect(
        'effective', runs / 'mixture', '--out', tmp_path, '--json')[1])[
            'figures']['effective']
    assert figures['n_effective']['/conv2/norm'] == (
        record.n_effective.tolist())
    figures = json.loads(inspect(
        'components', runs / 'mixture', '--out', tmp_path, '--json', '--where',
        'conv2', '--channels', 2, '--at', .5, 1)[1])[
            'figures']['components-conv2-norm']
    numpy.testing.assert_allclose(
        figures['means'][-1], record.means[-1][:, [2]])
    assert figures['moments'][-1] == f'iteration {record.iterations[-1]}'


def _no_snapshot(run):
    (run / 'snapshot.npz').write_text('hello')


def _other_model(run):
    with numpy.load(run / 'snapshot.npz') as file:
        arrays = dict(file)
    name = 'trainer/updater/model:main/predictor/conv1/conv/W'
    arrays[name] = arrays[name][:2]
    numpy.savez(run / 'snapshot.npz', **arrays)


def _other_script(run):
    with numpy.load(run / 'snapshot.npz') as file:
        arrays = dict(file)
    arrays['settings'] = json.dumps({'sets': ['digits']})
    numpy.savez(run / 'snapshot.npz', **arrays)


def _diverged(run):
    with numpy.load(run / 'snapshot.npz') as file:
        arrays = dict(file)
    arrays['trainer/updater/model:main/predictor/conv1/conv/W'][:] = numpy.nan
    numpy.savez(run / 'snapshot.npz', **arrays)


@pytest.mark.parametrize('command, spoil, words', [
    ('summary', _no_snapshot, 'snapshot.npz is damaged or no snapshot'),
    ('summary', lambda run: (run / 'snapshot.npz').unlink(),
     'there is no snapshot '),
    ('summary', _other_model, 'snapshot.npz does not '),
    ('maps', _other_script, 'is no snapshot of a run of train.classifier'),
    ('samples', _diverged, 'the run has diverged'),
    ('effective', lambda run: (run / 'mixture.npz').unlink(),
     'mixture.npz: runs write it where'),
    ('components', lambda run: (run / 'mixture.npz').unlink(),
     'mixture.npz: runs write it where'),
    ('effective', lambda run: (run / 'mixture.npz').write_text('PK'),
     'mixture.npz is no record of mixtures'),
    ('report', lambda run: (run / 'log').unlink(), 'holds no training run'),
    ('report', _no_snapshot, 'is damaged or no snapshot')])
def test_bad_run_is_one_line(command, spoil, words, runs, inspect, tmp_path):
    if command != 'summary':
        pytest.importorskip('matplotlib')
    run = tmp_path / 'run'
    shutil.copytree(runs / 'mixture', run)
    spoil(run)
    out = [] if command == 'summary' else ['--out', tmp_path / 'out']
    status, output, errors = inspect(command, run, *out)
    assert (status, output) == (2, '')
    assert words in errors and errors.count('\n') == 1
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('command', [
    'summary', 'densities', 'components', 'effective', 'samples', 'maps',
    'report'])
def test_layer_that_is_not_there(command, runs, inspect, tmp_path):
    pytest.importorskip('matplotlib')
    out = [] if command == 'summary' else ['--out', tmp_path / 'out']
    status, output, errors = inspect(
        command, runs / 'mixture', *out, '--where', 'conv7')
    assert (status, output) == (2, '')
    assert "'conv7'" in errors and errors.count('\n') == 1
    for path in ('/conv1/norm', '/conv2/norm', '/conv3/norm'):
        assert path in errors
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('arguments, words', [
    (['samples', 'batch'], 'train with --normalizer mixture or mode'),
    (['effective', 'batch'], 'mixture.npz: runs write it where'),
    (['maps', 'mode'], 'none of these layers has maps to show'),
    (['densities', 'mixture', '--channels', 4], 'integers from 0 to 3'),
    (['components', 'mixture', '--at', 2], 'numbers from 0 to 1'),
    (['densities', 'nowhere'], 'there is no snapshot'),
    (['densities', 'mixture', '--format', 'gif'], "'png'"),
    (['maps', 'mixture', '--images', 0], 'at least 1'),
    (['pictures', 'mixture'], "'summary'"), ([], 'SUBCOMMAND')])
def test_bad_arguments_are_one_line(
        arguments, words, runs, inspect, tmp_path):
    pytest.importorskip('matplotlib')
    command = [] if not arguments else [
        arguments[0], runs / arguments[1], '--out', tmp_path / 'out',
        *arguments[2:]]
    status, output, errors = inspect(*command)
    assert (status, output) == (2, '')
    assert words in errors and errors.count('\n') == 1
    assert not (tmp_path / 'out').exists()


def test_set_of_images_that_is_not_here(
        runs, inspect, tmp_path, monkeypatch):
    from train.data import sources

    def fail(**pixels):
        raise OSError('no network')
    monkeypatch.setitem(sources._SOURCES, 'digits', sources._Source(
        fail, 10, ('digits.npz',)))
    status, output, errors = inspect(
        'maps', runs / 'mixture', '--out', tmp_path / 'out')
    assert (status, output) == (2, '') and errors.count('\n') == 1
    assert 'cannot fetch digits' in errors and 'CHAINER_DATASET_ROOT' in errors
    assert not (tmp_path / 'out').exists()


def test_script_runs_from_any_folder(runs, tmp_path):
    done = subprocess.run(
        [sys.executable, '-m', 'tools.inspect', 'summary',
         str(runs / 'mixture'), '--where', 'conv1'], cwd=tmp_path,
        capture_output=True, text=True,
        env=dict(os.environ, PYTHONPATH=str(ROOT)))
    assert done.returncode == 0, done.stderr
    assert '/conv1/norm' in done.stdout
