"""The script as its users meet it."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy
import pytest

from train_tests.small_runs import read_log, SMALL


ROOT = pathlib.Path(__file__).resolve().parents[2]

# Batches that do not end with an epoch; networks as narrow as they can be.
SMALL_GAN = ('--width 8 --n-latent 6 --train-size 50 --batch-size 16 '
             '--log-every 2 --samples-every 3').split()
MIXTURE = '--normalizer mixture --at bn1 bn2 --components 2'.split()


@pytest.fixture
def classifier(run, tmp_path):
    """The folder of a classifier with 8 features."""
    assert run(*SMALL, '--iterations', 2, out='classifier')[0] == 0
    return tmp_path / 'classifier'


def _arrays(folder):
    with numpy.load(folder / 'snapshot.npz') as file:
        return {name: file[name] for name in file
                if name.startswith('trainer/updater/')}


def _assert_same(folder, other):
    arrays, others = _arrays(folder), _arrays(other)
    assert arrays.keys() == others.keys()
    for name in arrays:
        numpy.testing.assert_array_equal(arrays[name], others[name], name)
    assert read_log(folder) == read_log(other)


def test_what_a_run_writes(run_gan, tmp_path, classifier):
    image = pytest.importorskip('matplotlib.image')
    status, output, errors = run_gan(
        *SMALL_GAN, *MIXTURE, '--iterations', 6, '--features', classifier,
        '--n-samples', 30, '--distance-every', 4)
    assert status == 0 and errors == ''
    folder = tmp_path / 'run'
    assert sorted(file.name for file in folder.iterdir()) == [
        'curves.png', 'log', 'mixture.npz', 'real-features.npz', 'run.json',
        'samples', 'snapshot.npz']
    assert sorted(file.name for file in (folder / 'samples').iterdir()) == [
        'iteration-0000003.png', 'iteration-0000006.png']
    picture = image.imread(folder / 'samples' / 'iteration-0000006.png')
    assert picture.shape[:2] == (680, 680)

    log = json.loads((folder / 'log').read_text())
    assert [entry['iteration'] for entry in log] == [2, 4, 6]
    distances = {'frechet_classifier_distance', 'kid', 'density', 'coverage'}
    for entry in log:
        assert set(entry) >= {
            'generator/loss', 'discriminator/loss', 'discriminator/real',
            'discriminator/generated', 'generator/bn1/n_effective'}
        assert entry.keys() & distances == (
            distances if entry['iteration'] in (4, 6) else set())
    features = json.loads((folder / 'run.json').read_text())['features']
    assert features['file'] == str(classifier / 'snapshot.npz')
    assert features['n_samples'] == 30 and features['n_real'] == 50
    assert features['distance'] == 'frechet_classifier_distance'

    lowest = min(entry['frechet_classifier_distance'] for entry in log[1:])
    title = f"Frechet classifier distance [{features['sha256'][:8]}]"
    assert output.splitlines()[0].split('  ').count(title) == 1
    assert f'lowest {title} {lowest:.3f} at iteration ' in output
    assert 'n 30;' in output
    with open(folder / 'curves.png', 'rb') as file:
        assert file.read(4) == b'\x89PNG'


def test_scaled_run(run_gan, tmp_path):
    assert run_gan(*SMALL_GAN, '--iterations', 4, out='whole')[0] == 0
    status, output, _ = run_gan(
        *SMALL_GAN, '--iterations', 8, '--scale', .5, out='half')
    assert status == 0
    assert output.splitlines()[0] == 'scale 0.5: 4 iterations'
    _assert_same(tmp_path / 'half', tmp_path / 'whole')
    assert run_gan('--resume', '--iterations', 12, out='half')[0] == 0
    assert read_log(tmp_path / 'half')[-1]['iteration'] == 6


def test_without_features_there_are_no_distances(run_gan, tmp_path):
    assert run_gan(*SMALL_GAN, '--iterations', 2)[0] == 0
    entry, = json.loads((tmp_path / 'run' / 'log').read_text())
    assert 'frechet_classifier_distance' not in entry and 'fid' not in entry
    description = json.loads((tmp_path / 'run' / 'run.json').read_text())
    assert 'features' not in description
    assert not (tmp_path / 'run' / 'real-features.npz').exists()


def test_resumed_run_is_the_same_bit_for_bit(run_gan, tmp_path, classifier):
    arguments = [*SMALL_GAN, *MIXTURE, '--features', classifier,
                 '--n-samples', 30, '--distance-every', 3]
    assert run_gan(*arguments, '--iterations', 6, out='whole')[0] == 0
    assert run_gan(*arguments, '--iterations', 3, out='parts')[0] == 0
    assert run_gan('--resume', '--iterations', 6, out='parts')[0] == 0
    assert any('queue_means' in name for name in _arrays(tmp_path / 'whole'))
    # The first part's end makes a line of the log.
    whole, parts = (read_log(tmp_path / out) for out in ('whole', 'parts'))
    assert [entry['iteration'] for entry in whole] == [2, 3, 4, 6]
    _assert_same(tmp_path / 'whole', tmp_path / 'parts')
    for name in ('iteration-0000003.png', 'iteration-0000006.png'):
        pictures = [(tmp_path / out / 'samples' / name).read_bytes()
                    for out in ('whole', 'parts')]
        assert pictures[0] == pictures[1]
    starts = json.loads(
        (tmp_path / 'parts' / 'run.json').read_text())['starts']
    assert [start['iteration'] for start in starts] == [0, 3]


def test_features_that_come_after_the_last_update(
        run_gan, tmp_path, classifier):
    assert run_gan(*SMALL_GAN, '--iterations', 2)[0] == 0
    status, output, errors = run_gan('--resume', '--features', classifier)
    assert (status, errors) == (0, '')
    assert 'lowest' not in output and 'everything is in' in output
    assert 'features' in json.loads(
        (tmp_path / 'run' / 'run.json').read_text())


def test_looking_changes_nothing(run_gan, tmp_path, classifier):
    assert run_gan(*SMALL_GAN, *MIXTURE, '--iterations', 4, '--features',
                   classifier, '--n-samples', 30, '--distance-every', 1,
                   '--samples-every', 1, out='often')[0] == 0
    assert run_gan(*SMALL_GAN, *MIXTURE, '--iterations', 4, out='never')[
        0] == 0
    often, never = (_arrays(tmp_path / out) for out in ('often', 'never'))
    for name in never:
        numpy.testing.assert_array_equal(often[name], never[name], name)


def test_interruption_and_resuming(run_gan, tmp_path, stop_in):
    assert run_gan(*SMALL_GAN, '--iterations', 4, out='whole')[0] == 0
    stop_in(2)
    status, _, errors = run_gan(*SMALL_GAN, '--iterations', 4)
    assert status == 130
    assert 'stopped at iteration 2; to go on: python -m train.gan --resume ' \
        in errors
    assert run_gan('--resume')[0] == 0
    _assert_same(tmp_path / 'whole', tmp_path / 'run')


def test_kill_leaves_a_run_to_go_on_with(run_gan, tmp_path):
    arguments = [*SMALL_GAN, '--snapshot-every', '1']
    out = tmp_path / 'killed'
    process = subprocess.Popen(
        [sys.executable, '-m', 'train.gan', *arguments, '--iterations',
         '100000', '--out', str(out)], cwd=ROOT, stdout=subprocess.DEVNULL,
        env={**os.environ, 'OMP_NUM_THREADS': '1'})
    deadline = time.monotonic() + 60
    while not (out / 'snapshot.npz').exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    iteration = int(_arrays(out)['trainer/updater/iteration'])
    length = iteration + 2
    assert run_gan('--resume', '--iterations', length, out='killed')[0] == 0
    assert run_gan(*arguments, '--iterations', length, out='whole')[0] == 0
    whole, killed = _arrays(tmp_path / 'whole'), _arrays(out)
    for name in whole:
        numpy.testing.assert_array_equal(whole[name], killed[name], name)


def test_seeds_and_normalizers(run_gan, tmp_path):
    weights = {}
    for out, *arguments in (('a', '--seed', 1), ('b', '--seed', 2),
                            ('c', '--seed', 1, *MIXTURE)):
        # An update this small leaves the weights as they were drawn.
        assert run_gan(*SMALL_GAN, '--iterations', 1, '--lr', 1e-30,
                       *arguments, out=out)[0] == 0
        weights[out] = {name: array for name, array in _arrays(
            tmp_path / out).items() if name.endswith('/W')}
    assert len(weights['a']) == 10
    for name in weights['a']:
        numpy.testing.assert_array_equal(
            weights['a'][name], weights['c'][name])
        assert (weights['a'][name] != weights['b'][name]).any()


def test_colour_images(run_gan, tmp_path, image_cache):
    assert run_gan('--dataset', 'cifar10', '--width', 8, '--batch-size', 8,
                   '--iterations', 1)[0] == 0


def test_a_folder_is_not_overwritten_by_mistake(run_gan, tmp_path):
    assert run_gan(*SMALL_GAN, '--iterations', 3)[0] == 0
    status, _, errors = run_gan(*SMALL_GAN, '--iterations', 1)
    assert status == 2 and 'holds a run already' in errors
    (tmp_path / 'run' / 'samples' / 'mine.txt').write_text('kept')
    assert run_gan(*SMALL_GAN, '--iterations', 1, '--overwrite')[0] == 0
    assert sorted(file.name for file in (
        tmp_path / 'run' / 'samples').iterdir()) == [
        'iteration-0000001.png', 'mine.txt']


@pytest.mark.parametrize('arguments, words', [
    ('--width 12', '--width is 12: it must be a multiple of 8'),
    ('--betas .5 1', '--betas: must be a number in [0, 1)'),
    ('--at bn4 --normalizer mixture', "'bn4'"),
    ('--n-samples 50', '--n-samples goes with --features'),
    ('--batch-size 2000', '--batch-size 2000 is more than the 1437'),
    ('--features no/such', '--features: there is no no/such'),
    ('--features {tmp}', 'there is no {tmp}/snapshot.npz'),
    ('--features {classifier} --n-samples 8', '--n-samples 8 is too few for a '
     'covariance of 8 features: at least 9 are needed'),
    ('--features {classifier} --train-size 8 --batch-size 8',
     'the 8 training images are too few'),
    ('--resume', 'there is no snapshot')])
def test_errors_are_one_line(arguments, words, run_gan, tmp_path, classifier):
    places = {'tmp': tmp_path, 'classifier': classifier}
    status, _, errors = run_gan(*arguments.format(**places).split())
    assert status == 2
    assert errors.startswith('python -m train.gan: error: ')
    assert errors.count('\n') == 1
    assert words.format(**places) in errors
    assert not (tmp_path / 'run').exists()


def test_resuming_with_other_features_or_another_script(
        run, run_gan, tmp_path, classifier):
    assert run_gan(*SMALL_GAN, '--iterations', 1, '--features', classifier,
                   '--n-samples', 30)[0] == 0
    assert run(*SMALL, '--iterations', 2, '--seed', 1, out='other')[0] == 0
    before = (tmp_path / 'run' / 'run.json').read_bytes()
    status, _, errors = run_gan('--resume', '--iterations', 2, '--features',
                                tmp_path / 'other')
    assert status == 2 and "that this run's distances are by" in errors
    status, _, errors = run_gan('--resume', out='other')
    assert status == 2 and 'no snapshot of a run of this script' in errors
    status, _, errors = run_gan('--resume', '--lr', 1)
    assert status == 2 and '--lr 1.0 differs' in errors
    assert (tmp_path / 'run' / 'run.json').read_bytes() == before
    # The same file, under another name.
    (tmp_path / 'copy.npz').write_bytes(
        (classifier / 'snapshot.npz').read_bytes())
    assert run_gan('--resume', '--iterations', 2, '--features',
                   tmp_path / 'copy.npz')[0] == 0


def test_list_of_recipes(run_gan):
    status, output, _ = run_gan('--list-recipes')
    assert status == 0 and 'cifar10-dcgan-MN' in output
