"""What displays hold, against independent libraries, and what they draw."""

import subprocess
import sys

import chainer
import numpy
import pytest
import scipy.stats
from sklearn import metrics

import mixnorm
from mixnorm.inspection import (
    ClassesDisplay, ComponentsDisplay, DensitiesDisplay,
    EffectiveComponentsDisplay, MapsDisplay, posterior, Record, SamplesDisplay)
from mixnorm.inspection.record import write_record
from inspection_tests.layers import make_mixture, make_modes, make_points


@pytest.fixture(autouse=True)
def _no_windows():
    matplotlib = pytest.importorskip('matplotlib')
    matplotlib.use('agg')
    yield
    from matplotlib import pyplot
    pyplot.close('all')


@pytest.fixture
def file(tmp_path):
    """A record of two layers; of the first, 21 times."""
    random = numpy.random.RandomState(0)
    path = tmp_path / 'mixture.npz'
    weights = random.dirichlet(numpy.ones(3), size=21).astype('f')
    weights[:5, 2] = 0
    write_record(path, {
        '/a': Record('mixture', numpy.arange(0, 210, 10), numpy.arange(21.),
                     (weights > 0).sum(axis=1).astype(float), weights,
                     random.normal(size=(21, 3, 6)).astype('f'),
                     random.uniform(.5, 2, (21, 3, 6)).astype('f')),
        '/b': Record('group_mixture', numpy.arange(3), numpy.arange(3.),
                     numpy.array([2., 1.5, 1.]), *numpy.zeros((3, 3, 0)))})
    return str(path)


def test_matplotlib_is_for_plotting_only():
    code = 'import sys, mixnorm; assert "matplotlib" not in sys.modules'
    subprocess.run([sys.executable, '-c', code], check=True)


@pytest.mark.parametrize('make', [make_mixture, make_modes])
def test_densities(make):
    x = make_points()
    link = make(x)
    display = DensitiesDisplay.from_link(link, chainer.Variable(x), [0, 3])
    points = x.swapaxes(0, 1).reshape(5, -1)
    numpy.testing.assert_array_equal(display.x, points[[0, 3]])
    numpy.testing.assert_allclose(
        display.skewness, [scipy.stats.skew(z, axis=1)
                           for z in (display.x.astype(float), display.y)],
        atol=1e-6)
    numpy.testing.assert_allclose(
        display.kurtosis, [scipy.stats.kurtosis(z, axis=1)
                           for z in (display.x.astype(float), display.y)],
        atol=1e-6)
    # The output of the same mini-batch in training, standardized.
    y = link(x).array.swapaxes(0, 1).reshape(5, -1)[[0, 3]]
    numpy.testing.assert_allclose(
        display.y, scipy.stats.zscore(y, axis=1), atol=1e-4)
    assert display.plot() is display
    assert display.ax_.shape == (2, 2)
    assert display.ax_[0, 1].get_title() == 'channel 3'


def test_densities_are_those_of_the_mini_batch():
    # The mixture is fitted to it, not one of the queue's.
    x = make_points()
    display = DensitiesDisplay.from_link(make_mixture(x + 100), x)
    mean = (display.weights[:, None] * display.means).sum(axis=0)
    counts = display.weights[:, None] * x[:, 0].size
    # Unbiased, as those of a queue are.
    variances = display.variances * (counts - 1) / counts
    square = (display.weights[:, None] * (
        variances + display.means ** 2)).sum(axis=0)
    expected = x[:, display.channels].transpose(1, 0, 2, 3).reshape(4, -1)
    numpy.testing.assert_allclose(mean, expected.mean(axis=1), rtol=1e-4)
    numpy.testing.assert_allclose(
        square - mean ** 2, expected.var(axis=1), rtol=1e-3)


@pytest.mark.filterwarnings('error')
def test_densities_of_a_constant_channel():
    display = DensitiesDisplay(
        [0], numpy.full((1, 50), 3.), numpy.zeros((1, 50)), numpy.ones(1),
        numpy.full((1, 1), 3.), numpy.zeros((1, 1))).plot()
    above = display.ax_[0, 0]
    low, high = above.get_xlim()
    assert low < 3 < high
    # The only bar is seen.
    bars = next(z for z in above.patches if z.get_label() == 'activations')
    top = bars.get_xy()[:, 1].max()
    assert above.get_ylim()[1] / 2 < top < above.get_ylim()[1]


def test_densities_change_nothing_in_the_link():
    x = make_points()
    for link in (make_mixture(x), make_modes(x)):
        saved, again = (chainer.serializers.DictionarySerializer()
                        for _ in range(2))
        saved.save(link)
        DensitiesDisplay.from_link(link, x)
        posterior(link, x)
        again.save(link)
        assert saved.target.keys() == again.target.keys()
        for name, value in saved.target.items():
            numpy.testing.assert_array_equal(value, again.target[name])


def test_components_at_moments(file):
    records = mixnorm.inspection.read_record(file)
    display = ComponentsDisplay.from_record(file, '/a', (0, .5, 1), [5, 1])
    assert display.moments == ['iteration 0', 'iteration 100', 'iteration 200']
    chosen = [0, 10, 20]
    numpy.testing.assert_array_equal(
        display.weights, records['/a'].weights[chosen])
    numpy.testing.assert_array_equal(
        display.means, records['/a'].means[chosen][:, :, [5, 1]])
    numpy.testing.assert_array_equal(
        display.variances, records['/a'].variances[chosen][:, :, [5, 1]])
    display.plot()
    assert display.ax_.shape == (2, 3)
    # Components of weight 0 are not drawn, the sum is.
    assert [len(ax.collections) for ax in display.ax_[0]] == [2, 3, 3]
    for i, ax in enumerate(display.ax_[:, 1]):
        grid, total = ax.lines[0].get_data()
        expected = sum(
            weight * scipy.stats.norm.pdf(grid, mean, variance ** .5)
            for weight, mean, variance in zip(
                display.weights[1], display.means[1, :, i],
                display.variances[1, :, i]))
        numpy.testing.assert_allclose(total, expected, rtol=1e-5)


def test_components_of_the_queue_with_activations():
    x = make_points()
    link = make_mixture(x)
    display = ComponentsDisplay.from_queue(link).with_activations(link, x)
    numpy.testing.assert_array_equal(display.weights, link.queue.weights[:1])
    numpy.testing.assert_array_equal(
        display.means, link.queue.means[:1, :, display.channels])
    numpy.testing.assert_array_equal(
        display.x, x.swapaxes(0, 1).reshape(5, -1)[display.channels])
    assert display.plot().ax_.shape == (4, 1)
    legend, = display.figure_.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        *(f'component {k}' for k in range(display.weights.shape[1])),
        'activations', 'all components']
    # A narrow figure has all of it.
    display.figure_.canvas.draw()
    box = legend.get_window_extent()
    assert 0 <= box.x0 and box.x1 <= display.figure_.bbox.x1


@pytest.mark.filterwarnings('error')
def test_components_of_a_constant_channel_and_far_activations():
    weights, means = numpy.ones((1, 1)), numpy.full((1, 1, 1), 3.)
    for x in (numpy.full((1, 50), 3.), numpy.full((1, 50), 1e4)):
        display = ComponentsDisplay(
            [0], ['now'], weights, means, numpy.zeros((1, 1, 1)), x).plot()
        display.figure_.canvas.draw()
        low, high = display.ax_[0, 0].get_xlim()
        assert low < 3 < high
        # The area of the bars is the share of what is shown.
        histogram, = [z for z in display.ax_[0, 0].patches]
        bars = histogram.get_xy()
        area = numpy.trapezoid(bars[:, 1], bars[:, 0]) if hasattr(
            numpy, 'trapezoid') else numpy.trapz(bars[:, 1], bars[:, 0])
        numpy.testing.assert_allclose(abs(area), x[0, 0] == 3, atol=1e-9)


def test_animation(file, tmp_path):
    pytest.importorskip('PIL')
    from matplotlib.animation import PillowWriter
    from PIL import Image
    display = ComponentsDisplay.from_record(
        file, '/a', (0, .2, .4, 1), [0])
    path = str(tmp_path / 'a.gif')
    display.animate().save(path, writer=PillowWriter(fps=4))
    with Image.open(path) as image:
        assert image.n_frames == 4
    legend, = display.figure_.legends
    assert legend.get_texts()[-1].get_text() == 'all components'


@pytest.mark.parametrize('arguments, words', [
    (('/c',), "path is '/c': .* /a, /b"),
    (('/b',), 'group_mixture'),
    (('/a', (2,)), r'at is \[2.0\]'), (('/a', ()), r'at is \[\]'),
    (('/a', (1,), [6]), r'channels is \[6\]: .* 0 to 5'),
    (('/a', (1,), [-1]), 'channels is'), (('/a', (1,), [.5]), 'channels is'),
    (('/a', (1,), []), 'channels is')])
def test_components_that_are_not_there(arguments, words, file):
    with pytest.raises(ValueError, match=words):
        ComponentsDisplay.from_record(file, *arguments)


def test_effective_components(file):
    display = EffectiveComponentsDisplay.from_record(file)
    assert list(display.n_effective) == ['/a', '/b']
    assert display.n_effective['/a'].tolist() == [2] * 5 + [3] * 16
    display.plot(linewidth=4)
    assert [line.get_label() for line in display.ax_.lines] == ['/a', '/b']
    for line, (path, values) in zip(display.ax_.lines,
                                    display.n_effective.items()):
        numpy.testing.assert_array_equal(
            line.get_xdata(), display.iterations[path])
        numpy.testing.assert_allclose(line.get_ydata(), values, atol=.1)
        assert line.get_linewidth() == 4
    one = EffectiveComponentsDisplay.from_record(file, ['/b']).plot()
    assert one.ax_.lines[0].get_ydata().tolist() == [2, 1.5, 1]
    with pytest.raises(ValueError, match="'/c'.* /a, /b"):
        EffectiveComponentsDisplay.from_record(file, ['/c'])
    # A single record has no fractions of iterations about it.
    single = EffectiveComponentsDisplay(
        {'/a': numpy.array([23])}, {'/a': numpy.array([3.])}).plot()
    ticks = single.ax_.get_xticks()
    numpy.testing.assert_array_equal(ticks, ticks.round())


def test_samples_have_the_highest_posterior():
    x = make_points()
    link = make_mixture(x)
    images = numpy.random.RandomState(1).uniform(
        -2, 3, (48, 1, 6, 6)).astype('f')
    display = SamplesDisplay.from_link(link, x, images, 4)
    tau = posterior(link, x).mean(axis=(2, 3), dtype=float)
    for k in range(2):
        expected = sorted(range(48), key=lambda i: -tau[i, k])[:4]
        assert display.indices[k].tolist() == expected
        numpy.testing.assert_allclose(display.scores[k], tau[expected, k])
    scaled = (images - images.min()) / (images.max() - images.min())
    numpy.testing.assert_allclose(
        display.images, scaled[display.indices, 0], rtol=1e-5)
    numpy.testing.assert_allclose(display.shares, tau.mean(axis=0))
    assert display.plot().ax_[1].get_title().startswith('component 1: ')
    modes = SamplesDisplay.from_link(make_modes(x), x, images)
    assert modes.plot().ax_[2].get_title().startswith('mode 2: ')


def test_fewer_images_than_asked_for():
    x = make_points(3)
    images = numpy.zeros((3, 3, 6, 6), 'f')
    display = SamplesDisplay.from_link(make_modes(x), x, images, 16)
    assert display.images.shape == (3, 3, 6, 6, 3)
    display.plot()


def test_mutual_information_of_hard_assignments():
    random = numpy.random.RandomState(0)
    labels = random.randint(4, size=200)
    modes = numpy.where(random.rand(200) < .6, labels % 3,
                        random.randint(3, size=200))
    display = ClassesDisplay.from_posterior(numpy.eye(3)[modes], labels)
    assert display.mutual_information == pytest.approx(
        metrics.mutual_info_score(labels, modes))
    expected = metrics.confusion_matrix(labels, modes, normalize='true')
    numpy.testing.assert_allclose(display.preference, expected[:, :3])


def test_mutual_information_of_gates():
    x = make_points()
    link = make_modes(x)
    labels = numpy.random.RandomState(0).randint(3, size=48)
    display = ClassesDisplay.from_link(link, x, labels, 'abcd')
    gates = posterior(link, x).astype(float)
    # It takes integers only.
    contingency = numpy.rint(1e7 * numpy.array([
        gates[labels == c].sum(axis=0) for c in range(3)])).astype(int)
    assert display.mutual_information == pytest.approx(
        metrics.mutual_info_score(None, None, contingency=contingency),
        abs=1e-6)
    # A class without images.
    assert display.preference[3].tolist() == [0, 0, 0]
    display.plot()
    assert [label.get_text() for label in display.ax_.get_yticklabels()] == [
        'a', 'b', 'c', 'd']
    assert display.ax_.get_xlabel() == 'mode'


@pytest.mark.parametrize('labels, classes, words', [
    ([0, 1, 2], 'ab', 'labels holds numbers from 0 to 2: .* 0 to 1'),
    ([0, -1, 1], None, 'from -1 to 1: .* 0 to 1'),
    ([0, 1], None, r'labels has shape \(2,\) .* \(3,\), of integers'),
    ([0., 1., 1.], None, 'dtype float64')])
def test_wrong_labels(labels, classes, words):
    with pytest.raises(ValueError, match=words):
        ClassesDisplay.from_posterior(numpy.eye(3), labels, classes)


@pytest.mark.parametrize('n, n_channels, n_images, words', [
    (2, 1, 4, 'images holds 2: it must hold 3'),
    (3, 4, 4, r'images has shape \(3, 4, 5, 5\)'),
    (3, 1, 0, 'n_images is 0')])
def test_wrong_images(n, n_channels, n_images, words):
    with pytest.raises(ValueError, match=words):
        SamplesDisplay.from_posterior(
            numpy.eye(3), numpy.zeros((n, n_channels, 5, 5)), n_images)


def test_maps():
    x = make_points()
    link = make_mixture(x)
    images = numpy.random.RandomState(0).rand(48, 3, 8, 8)
    display = MapsDisplay.from_link(link, x, images, 3)
    numpy.testing.assert_array_equal(display.posterior, posterior(link, x[:3]))
    display.plot()
    assert display.ax_.shape == (2, 3)
    # Certain positions have the colour of their component: the first is
    # blue, the second orange.
    shown = display.ax_[1, 0].images[0].get_array()
    tau = display.posterior[0].repeat(2, axis=1).repeat(2, axis=2)
    for k, redder in ((0, False), (1, True)):
        certain = tau[k] > .99
        assert certain.any()
        assert ((shown[..., 0] > shown[..., 2]) == redder)[certain].all()


def test_modes_of_samples_have_no_map():
    x = make_points()
    with pytest.raises(ValueError, match=r'posterior has shape \(8, 3\)'):
        MapsDisplay.from_link(make_modes(x), x, numpy.zeros((48, 1, 8, 8)))


def test_axes_that_are_given(file):
    from matplotlib.figure import Figure
    figure = Figure()
    axes = figure.subplots(2, 3)
    display = ComponentsDisplay.from_record(file, '/a', (0, .5, 1), [5, 1])
    assert display.plot(axes).figure_ is figure
    assert all(ax.lines for ax in axes.ravel())
    with pytest.raises(ValueError, match='ax holds 6 axes: 4 rows of 1'):
        ComponentsDisplay.from_record(file, '/a', (1,)).plot(axes)
    ax = Figure().subplots()
    assert EffectiveComponentsDisplay.from_record(file).plot(ax).ax_ is ax
