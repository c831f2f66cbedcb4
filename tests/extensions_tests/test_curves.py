import json

import chainer
from chainer.training import extensions
import numpy
import pytest

from mixnorm.extensions import Curves
from mixnorm.extensions import draw_curves


image = pytest.importorskip('matplotlib.image')

# The first two colours that matplotlib draws lines in.
BLUE, ORANGE = (0x1f, 0x77, 0xb4), (0xff, 0x7f, 0x0e)


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
