import chainer
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
import numpy
import pytest

from mixnorm.inspection.canvas import colour
from mixnorm.mixture import Parameters
from tools.validate_gmm import comparison as compared
from tools.validate_gmm import plot
from tools.validate_gmm import point_sets
from tools.validate_gmm.fits import Fit, Options


@pytest.fixture(scope='module')
def comparison():
    """Of fits whose components come in different orders."""
    found = compared.compare(
        point_sets.synthetic('dimensions', 1), Options(20, 1e-3, 1e-6, 2),
        chainer.get_device('@numpy'), 1, 100., lambda text: None)
    own = found.own_seeding
    ours = own[compared.OURS]
    return found._replace(own_seeding=dict(own, **{
        compared.OURS: ours._replace(
            parameters=Parameters(*(z[::-1] for z in ours.parameters)),
            labels=4 - ours.labels)}))


@pytest.fixture
def figures(monkeypatch):
    """The figures that were written."""
    found = []
    save = Figure.savefig

    def save_and_keep(figure, *args, **kwargs):
        found.append(figure)
        return save(figure, *args, **kwargs)

    monkeypatch.setattr(Figure, 'savefig', save_and_keep)
    return found


@pytest.mark.parametrize('file_format, beginning', [
    ('png', b'\x89PNG'), ('svg', b'<?xml'), ('pdf', b'%PDF')])
def test_formats(file_format, beginning, comparison, tmp_path):
    path = tmp_path / f'a.{file_format}'
    plot.draw(comparison, [0, 1], str(path), file_format)
    assert path.read_bytes().startswith(beginning)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_ellipses_are_the_components(comparison, figures, tmp_path):
    plot.draw(comparison, [3, 1], str(tmp_path / 'a.png'), 'png')
    panels = figures[0].axes
    assert [axes.get_xlabel() for axes in panels] == ['dimension 3'] * 2
    assert panels[0].get_ylabel() == 'dimension 1'
    colors = []
    for axes, fits in zip(
            panels, (comparison.same_start, comparison.own_seeding)):
        ellipses = [z for z in axes.patches if isinstance(z, Ellipse)]
        both = fits[compared.OURS], fits[compared.THEIRS]
        for drawn, fit in zip((ellipses[:5], ellipses[5:]), both):
            for ellipse, mean, variance in zip(drawn, *fit.parameters[1:]):
                numpy.testing.assert_allclose(ellipse.center, mean[[3, 1]])
                numpy.testing.assert_allclose(
                    (ellipse.width, ellipse.height),
                    4 * variance[[3, 1]] ** .5)
        colors.append({
            ellipse.get_edgecolor(): ellipse.center
            for ellipse in ellipses[:5]})
        # A point has the colour of its component.
        points = axes.collections[0]
        numpy.testing.assert_allclose(
            points.get_facecolor()[:, :3],
            [ellipses[k].get_edgecolor()[:3] for k in both[0].labels])
    # The groups are far apart, so both seedings find the same components.
    assert set(colors[0]) == {to_rgba(colour(k), .6) for k in range(5)}
    for color, center in colors[0].items():
        numpy.testing.assert_allclose(colors[1][color], center, atol=1e-6)


def test_fit_that_failed_is_not_drawn(comparison, figures, tmp_path):
    failed = comparison._replace(own_seeding={
        compared.OURS: Fit('empty'), compared.THEIRS: Fit('empty')})
    plot.draw(failed, [0, 1], str(tmp_path / 'a.png'), 'png')
    left, right = figures[0].axes
    assert len(left.patches) == 10 and len(right.patches) == 0


def test_own_seeding_is_drawn_where_the_same_start_failed(
        comparison, figures, tmp_path):
    failed = comparison._replace(same_start=dict(comparison.same_start, **{
        compared.OURS: Fit('empty')}))
    plot.draw(failed, [0, 1], str(tmp_path / 'a.png'), 'png')
    left, right = figures[0].axes
    assert len(left.patches) == 5 and len(right.patches) == 10
