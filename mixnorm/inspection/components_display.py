import chainer
import numpy

from mixnorm.inspection.canvas import (
    choose_channels, component_handles, draw_components, draw_histogram,
    figure_and_axes, gaussian, GREY, histogram_height, ink, legend_below,
    shown_range)
from mixnorm.inspection.record import read_record
from mixnorm.inspection.state import noun_of, read_state
from mixnorm.links import axes


class ComponentsDisplay:

    """Components of channels at moments of training.

    A row for each channel, a column for each moment: the components under
    their weighted densities, their sum and, where activations are given, the
    histogram of these.

    Args:
        channels (numpy.ndarray): Numbers of the channels, ``(c,)``.
        moments (list of str): What to call the moments, ``R`` of them.
        weights (numpy.ndarray): Weights or mean gates ``(R, K)``.
        means (numpy.ndarray): ``(R, K, c)``, in units of the link's input.
        variances (numpy.ndarray): ``(R, K, c)``.
        x (numpy.ndarray or None): Activations ``(c, M)`` at the last moment.
        noun (str): What to call one of the ``K``: ``'component'`` or
            ``'mode'``.

    Attributes:
        figure_ (~matplotlib.figure.Figure): What was drawn.
        ax_ (numpy.ndarray): Its axes, ``(c, R)``.

    Source: M. M. Kalayeh and M. Shah, *Training Faster by Separating Modes
    of Variation in Batch-normalized Models* (2018), figure 8.

    """

    def __init__(self, channels, moments, weights, means, variances, x=None,
                 noun='component'):
        self.channels = channels
        self.moments = moments
        self.weights = weights
        self.means = means
        self.variances = variances
        self.x = x
        self.noun = noun

    @classmethod
    def from_queue(cls, link, channels=None):
        """Shows the newest components of a link.

        Args:
            link (~chainer.Link): A link of mixture or mode normalization.
            channels (sequence of int or None): Numbers of the channels to
                show; ``None`` for four, evenly among all.

        Returns:
            ComponentsDisplay: The display, of one moment.

        Raises:
            ValueError: If the link has no components with means, or a channel
                is not there.

        """
        state = read_state(link)
        if state is None or not len(state.weights) or not len(state.means):
            raise ValueError(f'link is {link!r}: it has no components that '
                             'can be shown')
        return cls._of(*(z[None] for z in state[1:]), ['now'], channels,
                       noun_of(link))

    @classmethod
    def from_record(cls, file, path, at=(.2, .4, .6, .8, 1.), channels=None):
        """Shows what was recorded of a link.

        Args:
            file (str): What :class:`mixnorm.extensions.MixtureReport` wrote.
            path (str): The link's path in it.
            at (sequence of float): Moments, as shares of what was recorded,
                each in [0, 1]; the record that is nearest stands for it.
            channels (sequence of int or None): See :meth:`from_queue`.

        Returns:
            ComponentsDisplay: The display.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it is no record, the link is not in it or has no
                components with means, or a moment or a channel is not there.

        """
        records = read_record(file)
        if path not in records:
            raise ValueError(f'path is {path!r}: {file} holds '
                             f"{', '.join(sorted(records)) or 'nothing'}")
        record = records[path]
        if record.means.ndim < 3:
            raise ValueError(f'path is {path!r}: no components were recorded '
                             f'of a {record.kind} normalization')
        at = numpy.asarray(at, numpy.float64)
        if at.ndim != 1 or at.size == 0 or not ((at >= 0) & (at <= 1)).all():
            raise ValueError(f'at is {at.tolist()!r}: it must be a list of '
                             'numbers from 0 to 1')
        chosen = numpy.unique([
            abs(record.iterations - share * record.iterations[-1]).argmin()
            for share in at])
        moments = [f'iteration {i}' for i in record.iterations[chosen]]
        return cls._of(record.weights[chosen], record.means[chosen],
                       record.variances[chosen], moments, channels,
                       'mode' if record.kind == 'mode' else 'component')

    @classmethod
    def _of(cls, weights, means, variances, moments, channels, noun):
        means, variances = (
            z.reshape(weights.shape + (-1,)) for z in (means, variances))
        channels = choose_channels(channels, means.shape[2])
        return cls(channels, moments, weights, means[:, :, channels],
                   variances[:, :, channels], noun=noun)

    def with_activations(self, link, x, n_points=20000):
        """Adds activations, whose histogram the last moment shows.

        Args:
            link (~chainer.Link): The link whose components these are.
            x (:class:`~chainer.Variable` or array): Input of the link at the
                last moment.
            n_points (int): How many points to keep, evenly among all.

        Returns:
            ComponentsDisplay: A display with the histogram.

        """
        points = axes.channels_second(
            chainer.as_variable(x), link.size, link.axis)[0].array
        points = chainer.get_device('@numpy').send(points)
        points = points.swapaxes(0, 1).reshape(points.shape[1], -1)
        step = -(-points.shape[1] // n_points)
        return ComponentsDisplay(
            self.channels, self.moments, self.weights, self.means,
            self.variances, points[self.channels, ::step], self.noun)

    def plot(self, ax=None, **style):
        """Draws the components.

        Args:
            ax (array of ~matplotlib.axes.Axes or None): Axes ``(c, R)`` to
                draw on; ``None`` for a figure of its own.
            style: What else the :meth:`matplotlib.axes.Axes.plot` of the sum
                takes.

        Returns:
            ComponentsDisplay: Itself.

        """
        n_rows, n_columns = len(self.channels), len(self.moments)
        self.figure_, self.ax_ = figure_and_axes(
            ax, n_rows, n_columns, (2.2, 1.6), sharex='row')
        for i, row in enumerate(self.ax_):
            low, high = self._range(i)
            for moment, panel in enumerate(row):
                self._plot_panel(panel, i, moment, low, high, style)
            row[0].set_ylabel(f'channel {self.channels[i]}\ndensity')
        for panel, moment in zip(self.ax_[0], self.moments):
            panel.set_title(moment, fontsize='medium')
        for panel in self.ax_[-1]:
            panel.set_xlabel('activation')
        if ax is None:
            self._add_legend(self.ax_[0, -1])
        return self

    def _add_legend(self, panel):
        legend_below(self.figure_, [
            *component_handles(self.weights.shape[1], self.noun),
            *panel.get_legend_handles_labels()[0]])

    def animate(self, interval=250, **style):
        """Shows one moment after the other.

        Args:
            interval (float): How long each is seen, in ms.
            style: See :meth:`plot`.

        Returns:
            ~matplotlib.animation.FuncAnimation: The animation; its ``save``
            writes it.

        """
        from matplotlib.animation import FuncAnimation
        n = len(self.channels)
        self.figure_, self.ax_ = figure_and_axes(None, 1, n, (2.6, 2.8))
        ranges = [self._range(i) for i in range(n)]
        heights = [max(self._densities(i, moment, *ranges[i])[1].sum(0).max()
                       for moment in range(len(self.moments)))
                   for i in range(n)]

        def draw(moment):
            for i, panel in enumerate(self.ax_[0]):
                panel.clear()
                self._plot_panel(panel, i, moment, *ranges[i], style)
                panel.set_ylim(0, 1.1 * heights[i] or 1)
                panel.set_xlabel('activation')
                panel.set_title(f'channel {self.channels[i]}',
                                fontsize='medium')
            self.ax_[0, 0].set_ylabel('density')
            self.figure_.suptitle(self.moments[moment], fontsize='medium')

        # The last moment shows all that there is.
        draw(len(self.moments) - 1)
        self._add_legend(self.ax_[0, 0])
        return FuncAnimation(
            self.figure_, draw, len(self.moments), lambda: None,
            interval=interval)

    def _range(self, i):
        """Returns the range of activations that a channel is shown in."""
        shown = (self.weights > 0)[:, :, None]
        deviation = 3 * numpy.sqrt(self.variances)
        low = numpy.where(shown, self.means - deviation, numpy.inf)
        high = numpy.where(shown, self.means + deviation, -numpy.inf)
        return shown_range(
            float(low[:, :, i].min()), float(high[:, :, i].max()))

    def _densities(self, i, moment, low, high):
        grid = numpy.linspace(low, high, 100)
        return grid, numpy.array([
            weight * gaussian(grid, mean, variance)
            for weight, mean, variance in zip(
                self.weights[moment], self.means[moment, :, i],
                self.variances[moment, :, i])])

    def _plot_panel(self, ax, i, moment, low, high, style):
        grid, parts = self._densities(i, moment, low, high)
        top = parts.sum(axis=0).max()
        if self.x is not None and moment == len(self.moments) - 1:
            draw_histogram(ax, self.x[i], low, high, color=GREY, alpha=.45,
                           label='activations')
            top = max(top, histogram_height(self.x[i], low, high))
        draw_components(ax, grid, parts, self.weights[moment])
        ax.plot(grid, parts.sum(axis=0),
                **{'color': ink(), 'linewidth': 1.2,
                   'label': f'all {self.noun}s', **style})
        ax.set_xlim(low, high)
        ax.set_ylim(0, 1.1 * top or 1)
        ax.locator_params(nbins=3)
        ax.tick_params(labelsize='small')
