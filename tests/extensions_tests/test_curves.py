import json

import chainer
from chainer.training import extensions
import numpy
import pytest

from mixnorm.extensions import Curves
from mixnorm.extensions import draw_curves
from mixnorm.extensions import draw_mean_curves


image = pytest.importorskip('matplotlib.image')
Figure = pytest.importorskip('matplotlib.figure').Figure

# The first two of the colours of Okabe and Ito.
BLUE, ORANGE = (0x00, 0x72, 0xb2), (0xe6, 0x9f, 0x00)


def _log(values):
    return [{'iteration': 10 * i, 'main/loss': value, 'main/accuracy': value,
             'validation/main/loss': value,
             'validation/main/accuracy': value}
            for i, value in enumerate(values)]


def _find(path, colour):
    """Returns where pixels have a colour, as (rows, columns) in [0, 1]."""
    pixels = numpy.rint(image.imread(path)[:, :, :3] * 255)
    rows, columns = (pixels == colour).all(axis=2).nonzero()
    return rows / pixels.shape[0], columns / pixels.shape[1]


def test_curves_of_two_runs(tmp_path):
    path = str(tmp_path / 'curves.png')
    draw_curves({'low': _log([0.1, 0.2, 0.1]), 'high': _log([0.8, 0.9, 0.8])},
                path)
    for half in (0, 0.5):
        heights = []
        for colour in (BLUE, ORANGE):
            rows, columns = _find(path, colour)
            # Both panels, without the legend below them.
            rows = rows[(columns > half) & (columns < half + 0.5)
                        & (rows < 0.75)]
            assert len(rows) > 50
            heights.append(rows.mean())
        # Rows count from the top.
        assert heights[0] > heights[1] + 0.3
    assert [file.name for file in tmp_path.iterdir()] == ['curves.png']


def test_curve_after_recalibration(tmp_path):
    path = str(tmp_path / 'curves.png')
    low, high = _log([.1, .2, .1]), _log([.8, .9, .8])
    # The other run has the panels reach from 0 to 1.
    logs = {'low': low, 'scale': _log([0., 1.])}
    for recalibrated in (False, True):
        if recalibrated:
            for entry, other in zip(low, high):
                for quantity in ('loss', 'accuracy'):
                    key = f'validation/main/{quantity}'
                    entry[f'recalibrated/{key}'] = other[key]
        draw_curves(logs, path)
        rows, columns = _find(path, BLUE)
        for half in (0, .5):
            # Rows count from the top.
            heights = rows[(columns > half) & (columns < half + .5)
                           & (rows < .75)]
            assert heights.max() > .5
            assert (heights.min() < .3) == recalibrated


def _draw_mean_curves(variants, path, monkeypatch):
    """Returns each panel's lines by label, and its bands, as arrays."""
    figures = []
    save = Figure.savefig

    def remember(figure, *args, **kwargs):
        figures.append(figure)
        save(figure, *args, **kwargs)

    monkeypatch.setattr(Figure, 'savefig', remember)
    draw_mean_curves(variants, str(path))
    assert path.read_bytes()[:4] == b'\x89PNG'
    figure, = figures
    return [
        ({line.get_label(): line.get_xydata() for line in axes.get_lines()},
         [band.get_paths()[0].vertices for band in axes.collections])
        for axes in figure.axes]


def test_mean_curves_in_their_bands(tmp_path, monkeypatch):
    random = numpy.random.RandomState(0)
    values = {'a': random.uniform(size=(3, 5)), 'b': random.uniform(
        size=(1, 5))}
    variants = {name: list(map(_log, runs)) for name, runs in values.items()}
    for lines, bands in _draw_mean_curves(
            variants, tmp_path / 'curves.png', monkeypatch):
        assert list(lines) == [
            'a, training, mean of 3',
            'a, test, mean of 3 +- standard deviation',
            'b, training, mean of 1', 'b, test, mean of 1']
        for label, points in lines.items():
            numpy.testing.assert_array_equal(
                points[:, 0], [0, 10, 20, 30, 40])
            numpy.testing.assert_allclose(
                points[:, 1], values[label[0]].mean(axis=0))
        # A single run has none.
        band, = bands
        deviation = values['a'].std(axis=0, ddof=1)
        for i, (mean, half) in enumerate(
                zip(values['a'].mean(axis=0), deviation)):
            heights = band[band[:, 0] == 10 * i, 1]
            numpy.testing.assert_allclose(
                (heights.min(), heights.max()), (mean - half, mean + half))


def test_mean_curve_of_what_all_logs_hold(tmp_path, monkeypatch):
    often, seldom = _log([.1, .2, .3, .4]), _log([.5, .6, .9, .8])[::2]
    for entry in often:
        entry['recalibrated/validation/main/loss'] = 1.
    (loss, _), (accuracy, _) = _draw_mean_curves(
        {'a': [often, seldom]}, tmp_path / 'curves.png', monkeypatch)
    assert loss.keys() == accuracy.keys() == {
        'a, training, mean of 2', 'a, test, mean of 2 +- standard deviation'}
    for points in loss.values():
        numpy.testing.assert_allclose(points, [(0, .3), (20, .6)])


@pytest.mark.parametrize('ending,start', [
    ('.pdf', b'%PDF'), ('.svg', b'<?xml'), ('.PNG', b'\x89PNG')])
def test_ending_gives_the_format(ending, start, tmp_path):
    path = tmp_path / (f'curves{ending}')
    draw_curves({'a': _log([1., 2.])}, str(path))
    assert path.read_bytes().startswith(start)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize('name', ['curves', 'curves.foo'])
def test_format_that_there_is_not(name, tmp_path):
    with pytest.raises(ValueError, match='path is .*pdf, .*png'):
        draw_curves({'a': _log([1., 2.])}, str(tmp_path / name))
    assert list(tmp_path.iterdir()) == []


def test_missing_values_are_skipped(tmp_path):
    path = str(tmp_path / 'curves.png')
    draw_curves({'a': [{'iteration': 1, 'main/loss': 1.},
                       {'iteration': 2, 'main/loss': float('nan')},
                       {'iteration': 3, 'main/loss': 2.,
                        'validation/main/accuracy': 0.5}]}, path)
    assert len(_find(path, BLUE)[0]) > 0


def test_failure_leaves_the_image_before(tmp_path, monkeypatch):
    path = tmp_path / 'curves.png'
    path.write_text('before')
    with pytest.raises(KeyError):
        draw_curves({'a': [{'main/loss': 1.}]}, str(path))
    assert path.read_text() == 'before'


class _Updater(chainer.training.Updater):

    """Trains nothing."""

    iteration = 0

    def get_all_optimizers(self):
        return {}

    def connect_trainer(self, trainer):
        pass

    def update(self):
        self.iteration += 1
        chainer.report({'validation/main/loss': self.iteration ** 2})

    @property
    def epoch(self):
        return self.iteration

    epoch_detail = epoch

    def finalize(self):
        pass


def test_extension_draws_the_log_at_the_end(tmp_path):
    trainer = chainer.training.Trainer(
        _Updater(), (4, 'iteration'), str(tmp_path))
    log_report = extensions.LogReport(trigger=(1, 'iteration'))
    trainer.extend(log_report)
    trainer.extend(Curves(log_report, 'squares', 'squares.png'))
    trainer.run()
    assert len(json.loads((tmp_path / 'log').read_text())) == 4
    assert len(_find(str(tmp_path / 'squares.png'), BLUE)[0]) > 0
    expected = str(tmp_path / 'expected.png')
    draw_curves({'squares': log_report.log}, expected)
    numpy.testing.assert_array_equal(
        image.imread(str(tmp_path / 'squares.png')), image.imread(expected))


def test_extension_tells_of_a_wrong_format_before_training(tmp_path):
    trainer = chainer.training.Trainer(
        _Updater(), (2, 'iteration'), str(tmp_path))
    trainer.extend(Curves(extensions.LogReport(), 'squares', 'squares.foo'))
    with pytest.raises(ValueError, match='squares.foo.* must end in one of'):
        trainer.run()
    assert trainer.updater.iteration == 0


def test_extension_draws_with_a_function(tmp_path):
    trainer = chainer.training.Trainer(
        _Updater(), (2, 'iteration'), str(tmp_path))
    log_report = extensions.LogReport(trigger=(1, 'iteration'))
    drawn = []
    trainer.extend(log_report)
    trainer.extend(Curves(log_report, 'squares', 'squares.png',
                          lambda logs, path: drawn.append((logs, path))))
    trainer.run()
    assert drawn == [
        ({'squares': log_report.log}, str(tmp_path / 'squares.png'))]
