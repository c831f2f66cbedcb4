import json
import os
import pathlib
import subprocess
import sys

import chainer
import numpy
import pytest

import mixnorm
from tools.validate_gmm import __main__ as command
from tools.validate_gmm import comparison, point_sets
from tools.validate_gmm.fits import Options
from train import classifier


ROOT = pathlib.Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def _memory(monkeypatch):
    """Has keep_memory, which would last beyond the test, do nothing."""
    monkeypatch.setattr(mixnorm, 'keep_memory', lambda: None)


@pytest.fixture
def run(capsys):
    """Runs the tool; returns status, output and errors."""
    def run(*arguments):
        try:
            status = command.main(
                [*map(str, arguments), '--repeats', '1'])
        except SystemExit as stop:
            status = stop.code
        return (status, *capsys.readouterr())
    return run


@pytest.fixture
def points(tmp_path):
    random = numpy.random.RandomState(0)
    path = tmp_path / 'points.npy'
    numpy.save(path, random.randn(90, 3) + 4 * random.randint(
        2, size=(90, 1)))
    return path


def _rows(output, first):
    """Returns the lines, split, from one that begins with some words."""
    lines = output.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(first))
    return [line.split() for line in lines[start:]]


def test_synthetic_sets_agree(run):
    status, output, errors = run('--synthetic')
    assert (status, errors) == (0, '')
    rows = _rows(output, 'set ')[1:]
    assert [row[0] for row in rows] == list(point_sets.SYNTHETIC)
    verdicts = {row[0]: ' '.join(row[6:]) for row in rows}
    for name in ('singular', 'far'):
        assert verdicts.pop(name) == 'agree, scikit-learn lost digits'
    assert set(verdicts.values()) == {'agree'}


def test_table(run):
    status, output, _ = run('--synthetic', 'separated')
    assert status == 0
    found = comparison.compare(
        point_sets.synthetic('separated', 0),
        Options(max_iter=100, tol=1e-3, reg_covar=1e-6, seed=0),
        chainer.get_device('@numpy'), 1, 100., lambda text: None)
    theirs = found.same_start['scikit-learn']
    row = _rows(output, 'same start, scikit-learn')[0]
    # The groups are far apart: every point is where it belongs.
    assert row[3:8] == [
        f'{theirs.log_likelihood:.9g}', f'{theirs.bic:.9g}',
        str(theirs.iterations), '-', '1.0000']
    pair = found.pairs[0]
    row = _rows(output, 'mixnorm to scikit-learn')[0]
    assert row[3:] == [f'{pair.difference.log_likelihood:.1e}',
                       f'{pair.difference.weights:.1e}',
                       f'{pair.difference.means:.1e}',
                       f'{pair.difference.variances:.1e}', '1.0000',
                       f'{pair.tolerance:.1e}']
    assert 'verdict: agree\n' in output


@pytest.mark.parametrize('side', ['ours', 'theirs'])
@pytest.mark.parametrize('attribute', ['weights_', 'means_', 'covariances_'])
def test_fit_that_is_off_is_found(side, attribute, run, points, monkeypatch):
    fit = getattr(comparison, f'fit_{side}')

    def fit_and_spoil(X, **kwargs):
        mixture = fit(X, **kwargs)
        value = getattr(mixture, attribute)
        value += 1e-3 * value * (-1) ** numpy.arange(len(value)).reshape(
            (-1,) + (1,) * (value.ndim - 1))
        return mixture

    monkeypatch.setattr(comparison, f'fit_{side}', fit_and_spoil)
    status, output, _ = run('--npy', points, '--components', 2)
    assert status == 1
    name = {'ours': 'mixnorm', 'theirs': 'scikit-learn'}[side]
    assert ' '.join(output.split()).count(
        f'verdict: DISAGREE: {name} beyond the tolerance from extended') == 1
    assert output.splitlines()[-1].endswith('DISAGREE')


def test_own_seedings_may_differ(run, points, monkeypatch):
    fit = comparison.fit_ours

    def fit_and_spoil(X, start, **kwargs):
        mixture = fit(X, start=start, **kwargs)
        if start is None:
            mixture.means_ += .5
        return mixture

    monkeypatch.setattr(comparison, 'fit_ours', fit_and_spoil)
    status, output, _ = run('--npy', points, '--components', 2)
    assert status == 0
    assert float(_rows(output, 'own seedings')[0][4]) > .1


def test_tolerance_is_what_it_is_set_to(run, points):
    # Nobody computes to a millionth of a rounding.
    assert run('--npy', points, '--tolerance', '1e-6')[0] == 1


def test_failure_far_from_the_origin_is_told(run, tmp_path):
    random = numpy.random.RandomState(0)
    numpy.save(tmp_path / 'far.npy', (
        1e4 + random.randn(200, 2)).astype('f'))
    status, output, _ = run('--npy', tmp_path / 'far.npy')
    words = ' '.join(output.split())
    assert status == 0
    assert 'verdict: mixnorm is right: scikit-learn is not judged' in words
    assert 'scikit-learn found no mixture' in words


def test_json_and_files(run, points, tmp_path):
    out = tmp_path / 'new' / 'out'
    status, output, errors = run(
        '--npy', points, '--components', 2, '--json', '--out', out,
        '--format', 'svg', '--dims', 2, 0, '--seed', 3)
    assert (status, errors) == (0, '')
    result = json.loads(output)
    assert sorted(os.listdir(out)) == ['points.svg', 'validate_gmm.json']
    assert json.loads((out / 'validate_gmm.json').read_text()) == result
    assert result['agree'] is True
    assert result['options'] == {
        'max_iter': 100, 'tol': 1e-3, 'reg_covar': 1e-6, 'seed': 3,
        'roundings': 100}
    found, = result['sets']
    assert found['points'] == 90 and found['dimensions'] == 3
    assert found['verdict']['short'] == 'agree'
    X = numpy.load(points)
    for fits in (found['same_start'], found['own_seeding']):
        mean = numpy.dot(fits['mixnorm']['weights'], fits['mixnorm']['means'])
        # A fixed point of EM has the points' mean.
        numpy.testing.assert_allclose(mean, X.mean(axis=0), rtol=1e-6)
    assert [pair['agree'] for pair in found['differences']] == [True] * 3


def test_one_dimension_has_no_picture(run, tmp_path):
    numpy.save(tmp_path / 'a.npy', numpy.arange(10.)[:, None])
    status, output, _ = run('--npy', tmp_path / 'a.npy', '--components', 1,
                            '--out', tmp_path / 'out')
    assert status == 0
    assert 'no picture: a has one dimension' in output
    assert os.listdir(tmp_path / 'out') == ['validate_gmm.json']


def test_layers_of_a_run(run, tmp_path):
    folder = tmp_path / 'run'
    assert classifier.main([
        '--normalizer', 'mixture', '--at', 'conv3', '--widths', '4', '4', '4',
        '8', '--train-size', '96', '--test-size', '30', '--batch-size', '20',
        '--iterations', '3', '--out', str(folder)]) == 0
    status, output, _ = run(
        '--run', folder, '--where', 'conv3', 'conv4/norm', '--images', 25,
        '--points', 300, '--components', 2, '--json')
    result = json.loads(output[output.index('{'):])
    assert status == 0
    # 25 images of 4x4 positions, and of 2x2.
    assert [(found['name'], found['points'], found['dimensions'])
            for found in result['sets']] == [
                ('conv3/norm', 300, 4), ('conv4/norm', 100, 8)]
    status, output, errors = run('--run', folder, '--where', 'conv9')
    assert (status, output, errors.count('\n')) == (2, '', 1)
    assert "'conv9'" in errors and '/conv3/norm' in errors


@pytest.mark.parametrize('arguments, words', [
    ([], 'give one of --synthetic, --npy and --run'),
    (['--synthetic', '--npy', 'a.npy'], 'not --synthetic and --npy'),
    (['--synthetic', 'none'], "invalid choice: 'none'"),
    (['--synthetic', '--components', '2'],
     '--components goes with --npy or --run'),
    (['--npy', 'a.npy', '--where', 'conv3'], '--where goes with --run'),
    (['--synthetic', '--format', 'svg'], '--format goes with --out'),
    (['--synthetic', '--dims', '0', '1'], '--dims goes with --out'),
    (['--npy', 'nowhere.npy'], 'No such file or directory: nowhere.npy'),
    (['--run', 'nowhere'], 'there is no snapshot nowhere'),
    (['--synthetic', '--device', '@nothing'], '--device @nothing'),
    (['--synthetic', '--reg-covar', '0'], 'must be a number above 0'),
    (['--synthetic', '--tolerance', 'nan'], 'must be a number above 0'),
    (['--synthetic', '--out', 'out', '--dims', '0', '-1'],
     'must be an integer of at least 0'),
    (['--synthetic', '--out', 'out', '--dims', '1', '1'],
     'two different dimensions'),
    (['--synthetic', '--out', 'out', '--dims', '0', '2'],
     'separated, whose last is 1')])
def test_bad_input_is_one_line(arguments, words, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, output, errors = run(*arguments)
    assert (status, output, errors.count('\n')) == (2, '', 1)
    assert words in errors
    assert os.listdir(tmp_path) == []


def test_folder_that_cannot_be_made(run, tmp_path):
    (tmp_path / 'file').write_text('')
    status, _, errors = run(
        '--synthetic', 'separated', '--out', tmp_path / 'file')
    assert (status, errors.count('\n')) == (2, 1)


def test_without_scikit_learn(run, monkeypatch):
    monkeypatch.setitem(sys.modules, 'sklearn', None)
    status, output, errors = run('--synthetic')
    assert (status, output, errors.count('\n')) == (2, '', 1)
    assert 'pip install scikit-learn' in errors


def test_without_matplotlib(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'matplotlib', None)
    status, output, _ = run('--synthetic', 'separated', '--out', tmp_path)
    assert status == 0
    assert 'no picture: matplotlib is not installed' in output


def test_progress_is_for_terminals(run, monkeypatch):
    monkeypatch.setattr(sys.stderr, 'isatty', lambda: True, raising=False)
    status, output, errors = run('--synthetic', 'separated')
    assert status == 0
    shown = errors.split('\r')
    assert any(line.startswith('separated (1 of 1): extended precision, '
                               'iteration 2') for line in shown)
    # The line is gone in the end.
    assert shown[-1] == '\x1b[K'


def test_script_runs_from_any_folder(tmp_path):
    done = subprocess.run(
        [sys.executable, '-m', 'tools.validate_gmm', '--synthetic',
         'separated', '--repeats', '1'], cwd=tmp_path, capture_output=True,
        text=True, env=dict(os.environ, PYTHONPATH=str(ROOT)))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ''
    assert 'verdict: agree' in done.stdout
