import numpy

from mixnorm.inspection.canvas import figure_and_axes
from mixnorm.inspection.record import read_record


class EffectiveComponentsDisplay:

    """Effective number of components over training, a line for each link.

    Args:
        iterations (dict): Maps the paths of links to the iterations at which
            they were recorded, ``(R,)``.
        n_effective (dict): Maps them to the numbers, ``(R,)``.

    Attributes:
        figure_ (~matplotlib.figure.Figure): What was drawn.
        ax_ (~matplotlib.axes.Axes): Its axes.

    Source: M. M. Kalayeh and M. Shah, *Training Faster by Separating Modes
    of Variation in Batch-normalized Models* (2018), figure 9.

    """

    def __init__(self, iterations, n_effective):
        self.iterations = iterations
        self.n_effective = n_effective

    @classmethod
    def from_record(cls, file, paths=None):
        """Shows what was recorded of links.

        Args:
            file (str): What :class:`mixnorm.extensions.MixtureReport` wrote.
            paths (sequence of str or None): Paths of links in it; ``None``
                for all.

        Returns:
            EffectiveComponentsDisplay: The display.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it is no record, or a link is not in it.

        """
        records = read_record(file)
        paths = sorted(records) if paths is None else list(paths)
        for path in paths:
            if path not in records:
                raise ValueError(
                    f'paths holds {path!r}: {file} holds '
                    f"{', '.join(sorted(records)) or 'nothing'}")
        return cls({path: records[path].iterations for path in paths},
                   {path: records[path].n_effective for path in paths})

    def plot(self, ax=None, **style):
        """Draws the lines, a little apart where they are the same.

        Args:
            ax (~matplotlib.axes.Axes or None): Axes to draw on; ``None`` for
                a figure of its own.
            style: What else :meth:`matplotlib.axes.Axes.plot` takes.

        Returns:
            EffectiveComponentsDisplay: Itself.

        """
        from matplotlib import colormaps
        from matplotlib.ticker import MaxNLocator
        self.figure_, all_axes = figure_and_axes(ax, size=(7.5, 3.2))
        self.ax_ = all_axes[0, 0]
        n = len(self.n_effective)
        # In the order of paths; the ends would be lost on black or white.
        colours = colormaps['viridis'](numpy.linspace(.3, .8, n))
        apart = numpy.linspace(.07, -.07, n) if n > 1 else [0]
        markers = 'osv^D<>pPX'
        for i, (path, values) in enumerate(self.n_effective.items()):
            self.ax_.plot(
                self.iterations[path], values + apart[i],
                **{'color': colours[i], 'linewidth': 1.3, 'markersize': 4,
                   'marker': markers[i % len(markers)], 'label': path,
                   'markevery': max(1, len(values) // 20), **style})
        top = max((values.max() for values in self.n_effective.values()
                   if len(values)), default=1)
        self.ax_.set_ylim(0, top + .5)
        self.ax_.set_yticks(numpy.arange(0, int(top) + 1))
        self.ax_.xaxis.set_major_locator(MaxNLocator(integer=True))
        self.ax_.set_xlabel('iteration')
        self.ax_.set_ylabel('effective components' + (
            '\n(lines a little apart)' if n > 1 else ''))
        self.ax_.grid(alpha=.3)
        if ax is None:
            self.figure_.legend(loc='outside right upper', frameon=False,
                                fontsize='small')
        return self
