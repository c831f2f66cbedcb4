"""Loss and accuracy curves of one training run or several."""

import os
import time

from chainer.training import extension
import numpy

from mixnorm.files import replacing
from mixnorm.inspection.canvas import colour


_QUANTITIES = 'loss', 'accuracy'


class Curves(extension.Extension):

    """Trainer extension that draws the log's curves to an image file.

    The image shows loss and accuracy against iterations, for training and
    test, as :func:`draw_curves` draws them. It is drawn whenever the log has
    a new entry, but no oftener than every 30 seconds, and when training ends.
    It needs matplotlib.

    Args:
        log_report (~chainer.training.extensions.LogReport): The log to draw.
        title (str): What the run is called.
        filename (str): Name of the image in the trainer's output folder.
        draw (callable or None): What draws another image: it takes the log,
            by the title, in a dictionary, and a path, as
            :func:`draw_curves`, which ``None`` stands for, does.

    """

    # After the extensions that report, and after the log.
    priority = extension.PRIORITY_READER - 1

    def __init__(self, log_report, title, filename='curves.png', draw=None):
        self._log_report = log_report
        self._title = title
        self._filename = filename
        self._draw_curves = draw or draw_curves
        self._path = None
        self._drawn_at = time.monotonic()

    def initialize(self, trainer):
        self._path = os.path.join(trainer.out, self._filename)
        if self._draw_curves is draw_curves:
            # What it would raise at the end is raised before training.
            _figure_and_panels(self._path)

    def __call__(self, trainer):
        if time.monotonic() - self._drawn_at >= 30:
            self._draw()

    def finalize(self):
        self._draw()

    def _draw(self):
        if self._log_report.log:
            self._draw_curves({self._title: self._log_report.log}, self._path)
        self._drawn_at = time.monotonic()


def draw_curves(logs, path):
    """Draws loss and accuracy of training runs side by side.

    Training is drawn thin, test thick, and test after recalibration (see
    :class:`~mixnorm.extensions.Recalibration`) dashed. Where a run's log holds
    no test result for an entry, the test curve goes on to the next that does.

    Args:
        logs (dict): Maps a run's name to its log: a list of dictionaries with
            the key ``'iteration'`` and any of ``'main/loss'``,
            ``'validation/main/loss'``, ``'main/accuracy'`` and
            ``'validation/main/accuracy'``, as
            :class:`chainer.training.extensions.LogReport` writes it, and
            those of the test once more with ``'recalibrated/'`` before them.
        path (str): The image file to write; its ending gives the format.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If matplotlib knows no format of that ending.

    """
    figure, panels = _figure_and_panels(path)
    for axes, quantity in zip(panels, _QUANTITIES):
        for index, (name, log) in enumerate(logs.items()):
            for key, label, style in _curves_of(quantity):
                points = [(entry['iteration'], entry[key])
                          for entry in log if key in entry]
                if points:
                    axes.plot(*zip(*points), color=colour(index),
                              label=f'{name}, {label}', **style)
    _write(figure, panels, path)


def draw_mean_curves(variants, path):
    """Draws loss and accuracy of several runs of each of some variants.

    A curve is the mean over the runs of a variant, at those iterations that
    all of their logs hold, in the styles of :func:`draw_curves`. The band
    around the test is one standard deviation wide to either side (``n - 1`` in
    its divisor), as tables print it; a single run has none.

    Args:
        variants (dict): Maps a variant's name to the list of its runs' logs;
            see :func:`draw_curves`.
        path (str): The image file to write; its ending gives the format.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If matplotlib knows no format of that ending.

    """
    figure, panels = _figure_and_panels(path)
    for axes, quantity in zip(panels, _QUANTITIES):
        for index, (name, logs) in enumerate(variants.items()):
            for key, label, style in _curves_of(quantity):
                iterations, values = _together(logs, key)
                if not iterations:
                    continue
                mean = values.mean(axis=0)
                label = f'{name}, {label}, mean of {len(logs)}'
                if key == f'validation/main/{quantity}' and len(logs) > 1:
                    deviation = values.std(axis=0, ddof=1)
                    axes.fill_between(
                        iterations, mean - deviation, mean + deviation,
                        color=colour(index), alpha=.2, linewidth=0)
                    label += ' +- standard deviation'
                axes.plot(iterations, mean, color=colour(index), label=label,
                          **style)
    _write(figure, panels, path)


def _curves_of(quantity):
    """Returns the keys of a log that are drawn, their labels and styles."""
    return (
        (f'main/{quantity}', 'training', {'linewidth': 0.9, 'alpha': 0.6}),
        (f'validation/main/{quantity}', 'test',
         {'linewidth': 2, 'marker': '.'}),
        (f'recalibrated/validation/main/{quantity}', 'test, recalibrated',
         {'linewidth': 1.4, 'linestyle': '--', 'marker': '.'}))


def _together(logs, key):
    """Returns the iterations with a value in all logs, and the values."""
    found = [{entry['iteration']: entry[key] for entry in log if key in entry}
             for log in logs]
    iterations = sorted(set.intersection(*map(set, found)))
    return iterations, numpy.array(
        [[values[iteration] for iteration in iterations] for values in found])


def _figure_and_panels(path):
    # A figure of its own, which no backend or window of the user's is in.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.5), layout='constrained')
    canvas = FigureCanvasAgg(figure)
    if _ending(path) not in canvas.get_supported_filetypes():
        raise ValueError(
            f'path is {path!r}: it must end in one of '
            f"{', '.join(sorted(canvas.get_supported_filetypes()))}")
    return figure, figure.subplots(1, len(_QUANTITIES))


def _ending(path):
    return os.path.splitext(path)[1][1:].lower()


def _write(figure, panels, path):
    for axes, quantity in zip(panels, _QUANTITIES):
        axes.set_xlabel('iteration')
        axes.set_ylabel(quantity)
        axes.grid(alpha=0.3)
    # Below the panels, where it hides no curve.
    figure.legend(*panels[0].get_legend_handles_labels(),
                  loc='outside lower center', ncols=2)
    with replacing(path, 'wb') as file:
        figure.savefig(file, dpi=100, format=_ending(path))
