import copy

import chainer
import numpy

from mixnorm.inspection.canvas import (
    choose_channels, component_handles, draw_components, draw_histogram,
    figure_and_axes, gaussian, GREY, histogram_height, ink, legend_below,
    shown_range)
from mixnorm.inspection.state import kind_of, noun_of, read_state
from mixnorm.links import axes


class DensitiesDisplay:

    """Densities of channels, before and after normalization.

    Above, for each channel, the histogram of the activations, the single
    Gaussian by which batch normalization takes them, and the density of the
    mixture, with its components; below, the densities after both
    normalizations and the standard Gaussian.

    Args:
        channels (numpy.ndarray): Numbers of the channels, ``(c,)``.
        x (numpy.ndarray): Activations ``(c, M)``, in units of the link's
            input.
        y (numpy.ndarray): The same after the link, each channel with mean 0
            and variance 1.
        weights (numpy.ndarray): Weights or mean gates ``(K,)``.
        means (numpy.ndarray): ``(K, c)``.
        variances (numpy.ndarray): ``(K, c)``.
        noun (str): What to call one of the ``K``: ``'component'`` or
            ``'mode'``.

    Attributes:
        figure_ (~matplotlib.figure.Figure): What was drawn.
        ax_ (numpy.ndarray): Its axes, ``(2, c)``.

    Source: M. M. Kalayeh and M. Shah, *Training Faster by Separating Modes
    of Variation in Batch-normalized Models* (2018), figure 1.

    .. admonition:: Example

        >>> import numpy as np
        >>> import mixnorm
        >>> link = mixnorm.links.MixtureNormalization(2, seed=0)
        >>> x = np.random.randn(8, 2, 4, 4).astype('f')
        >>> display = mixnorm.inspection.DensitiesDisplay.from_link(link, x)
        >>> display.skewness.shape
        (2, 2)

    """

    def __init__(self, channels, x, y, weights, means, variances,
                 noun='component'):
        self.channels = channels
        self.x = x
        self.y = y
        self.weights = weights
        self.means = means
        self.variances = variances
        self.noun = noun

    @classmethod
    def from_link(cls, link, x, channels=None, n_points=20000):
        """Normalizes a mini-batch with a copy of a link, as in training.

        Args:
            link (~chainer.Link): A link of mixture or mode normalization. It
                does not change. If it has a communicator, all workers have
                to do this.
            x (:class:`~chainer.Variable` or array): Input of the link.
            channels (sequence of int or None): Numbers of the channels to
                show; ``None`` for four, evenly among all.
            n_points (int): How many points of each to keep, evenly among all.

        Returns:
            DensitiesDisplay: The display.

        Raises:
            ValueError: If the link is of another kind, or a channel is not
                there.

        """
        if kind_of(link) not in ('mixture', 'mode'):
            raise ValueError(f'link is {link!r}: it must be one of mixture or '
                             'mode normalization')
        link = copy.deepcopy(link)
        x = chainer.as_variable(link.device.send(chainer.as_array(x)))
        # The state is then that of this mini-batch alone.
        link.start_finetuning()
        with chainer.using_config('train', True), chainer.no_backprop_mode():
            y = link(x, finetune=True)
        state = read_state(link)
        x, y = (_by_channel(z, link) for z in (x, y))
        channels = choose_channels(channels, len(x))
        means, variances = (z.reshape(len(state.weights), -1)[:, channels]
                            for z in (state.means, state.variances))
        step = -(-x.shape[1] // n_points)
        return cls(channels, x[channels, ::step], _standardize(
            y[channels].astype(numpy.float64))[:, ::step], state.weights,
            means, variances, noun_of(link))

    @property
    def skewness(self):
        """Third standardized moments before and after the link, ``(2, c)``.

        Those after batch normalization are those before it.

        """
        return _moments(self.x, self.y, 3)

    @property
    def kurtosis(self):
        """Fourth standardized moments less 3, before and after, ``(2, c)``."""
        return _moments(self.x, self.y, 4) - 3

    def plot(self, ax=None, **style):
        """Draws the densities.

        Args:
            ax (array of ~matplotlib.axes.Axes or None): Axes ``(2, c)`` to
                draw on; ``None`` for a figure of its own.
            style: What else the lines' :meth:`matplotlib.axes.Axes.plot`
                takes.

        Returns:
            DensitiesDisplay: Itself.

        """
        n_channels = len(self.channels)
        self.figure_, self.ax_ = figure_and_axes(
            ax, 2, n_channels, size=(3, 2.6))
        style = {'linewidth': 1.5, **style}
        for i, (above, below) in enumerate(self.ax_.T):
            self._plot_before(above, i, style)
            self._plot_after(below, i, style)
        self.ax_[0, 0].set_ylabel('density')
        self.ax_[1, 0].set_ylabel('density')
        if ax is None:
            legend_below(self.figure_, [
                *component_handles(len(self.weights), self.noun),
                *(handle for panel in self.ax_[:, 0]
                  for handle in panel.get_legend_handles_labels()[0])])
        return self

    def _plot_before(self, ax, i, style):
        x = self.x[i].astype(numpy.float64)
        low, high = shown_range(*numpy.quantile(x, (.002, .998)))
        draw_histogram(ax, x, low, high, color=GREY, alpha=.45,
                       label='activations')
        grid = numpy.linspace(low, high, 100)
        parts = numpy.array([
            weight * gaussian(grid, mean, variance)
            for weight, mean, variance in zip(
                self.weights, self.means[:, i], self.variances[:, i])])
        total = parts.sum(axis=0)
        draw_components(ax, grid, parts, self.weights)
        ax.plot(grid, gaussian(grid, x.mean(), x.var()), linestyle='--',
                color=GREY, label='single Gaussian', **style)
        ax.plot(grid, total, color=ink(), label=f'all {self.noun}s',
                **style)
        ax.set_ylim(0, 1.15 * max(
            total.max(), histogram_height(x, low, high)))
        ax.set_title(f'channel {self.channels[i]}', fontsize='medium')
        ax.set_xlabel('activation')

    def _plot_after(self, ax, i, style):
        x = _standardize(self.x[i].astype(numpy.float64)[None])[0]
        low, high = -4, 4
        draw_histogram(ax, x, low, high, histtype='step', color=GREY,
                       label='after batch normalization', **style)
        draw_histogram(ax, self.y[i], low, high, histtype='step',
                       color=ink(), label='after this layer', **style)
        grid = numpy.linspace(low, high, 100)
        normal = gaussian(grid, 0, 1)
        ax.plot(grid, normal, color=GREY, linestyle=':',
                label='standard Gaussian', **style)
        ax.set_ylim(0, 1.15 * max(.4, histogram_height(x, low, high),
                                  histogram_height(self.y[i], low, high)))
        skewness, kurtosis = self.skewness[:, i], self.kurtosis[:, i]
        ax.set_title(
            f'skewness {skewness[0]:.2f} → {skewness[1]:.2f}\n'
            f'kurtosis {kurtosis[0]:.2f} → {kurtosis[1]:.2f}',
            fontsize='small')
        ax.set_xlabel('standardized activation')


def _by_channel(x, link):
    """Returns the points of a link's input, ``(C, M)``, on the CPU."""
    points = axes.channels_second(x, link.size, link.axis)[0].array
    points = chainer.get_device('@numpy').send(points)
    return points.swapaxes(0, 1).reshape(points.shape[1], -1)


def _standardize(x):
    deviation = x.std(axis=1, keepdims=True)
    deviation[deviation == 0] = 1
    return (x - x.mean(axis=1, keepdims=True)) / deviation


def _moments(x, y, power):
    return numpy.array([
        (_standardize(z.astype(numpy.float64)) ** power).mean(axis=1)
        for z in (x, y)])
