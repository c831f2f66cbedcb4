import json

import numpy
import pytest

from train.experiments import fit_study


_SMALL = ('--dataset digits --train-size 64 --test-size 20 --widths 2 2 2 2 '
          '--batch-size 16 --epoch 2')


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(fit_study, 'VARIANTS', {
        name: fit_study.VARIANTS[name]
        for name in ('batch', 'mixture', 'warm')})
    monkeypatch.setattr(fit_study, 'RATES', ('.01',))
    monkeypatch.setattr(fit_study, '_NOISE_BATCH_SIZE', 16)


def _run(out, *arguments):
    return fit_study.main([
        '--out', str(out), '--seeds', '1', '2', '--all', _SMALL, *arguments])


def test_study(small, tmp_path, capsys):
    assert _run(tmp_path) == 0
    printed = capsys.readouterr().out
    report = json.loads((tmp_path / 'report.json').read_text())
    assert (tmp_path / 'report.txt').read_text().strip() in printed
    assert (tmp_path / 'report.png').read_bytes().startswith(b'\x89PNG')
    assert list(report['runs']) == ['batch-.01', 'mixture-.01', 'warm-.01']
    for name, runs in report['runs'].items():
        assert sorted(runs) == ['1', '2']
        for seed, figures in runs.items():
            log = json.loads(
                (tmp_path / name / f'seed-{seed}' / 'log').read_text())
            tests = [entry['validation/main/accuracy'] for entry in log]
            assert figures['best'] == max(tests)
            assert figures['last'] == tests[-1]
            assert figures['loss'] == log[-1]['main/loss']
            assert figures['noise'] > 0
            for key in ('recalibrated', 'own_statistics'):
                # Of 20 images.
                n_right = 20 * figures[key]
                assert 0 <= n_right <= 20
                assert round(n_right, 6) == round(n_right)
            best = report['runs']['batch-.01'][seed]['best']
            assert figures['steps'] == next(
                (entry['iteration'] for entry in log
                 if entry['validation/main/accuracy'] >= best), None)
    effect, = (found for found in report['effects']
               if found['effect'] == 'warm start')
    warm, mixture = (
        numpy.array([report['runs'][f'{name}-.01'][seed]['noise']
                     for seed in '12']) for name in ('warm', 'mixture'))
    numpy.testing.assert_allclose(effect['noise'], warm - mixture)
    # Again: nothing is left to do.
    before = (tmp_path / 'warm-.01' / 'seed-1' / 'log').stat().st_mtime_ns
    assert _run(tmp_path) == 0
    assert '6 of 6 runs have ended already' in capsys.readouterr().out
    assert before == (
        tmp_path / 'warm-.01' / 'seed-1' / 'log').stat().st_mtime_ns


def test_nothing_to_report(tmp_path, capsys):
    assert fit_study.main(['--out', str(tmp_path), '--report']) == 2
    assert 'no run of a study' in capsys.readouterr().err


def test_runs_of_other_settings_are_refused(
        small, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(fit_study, 'VARIANTS', {'batch': ''})
    assert fit_study.main([
        '--out', str(tmp_path), '--seeds', '1', '--all', _SMALL]) == 0
    capsys.readouterr()
    assert fit_study.main([
        '--out', str(tmp_path), '--seeds', '1', '--all',
        f'{_SMALL} --epoch 3']) == 2
    assert 'holds a run with other settings' in capsys.readouterr().err


@pytest.mark.parametrize('arguments, expected', [
    ([], 18), (['--more'], 25),
    (['--only', 'warm-k5', 'batch'], ['batch-.01', 'batch-.05',
                                      'warm-k5-.01'])])
def test_choice_of_variants(arguments, expected, monkeypatch, tmp_path):
    found = []

    def stop(variants, *_):
        found.extend(variants)
        return 1

    monkeypatch.setattr(fit_study.compare, 'run_all', stop)
    assert fit_study.main(['--out', str(tmp_path), *arguments]) == 1
    assert (len(found) if isinstance(expected, int)
            else sorted(found)) == expected
