"""What all displays draw on, and the colours of components."""
import numpy

# Okabe and Ito's, which the colour-blind tell apart.
_COLOURS = ('#0072b2', '#e69f00', '#009e73', '#cc79a7', '#56b4e9', '#d55e00',
            '#b8a900', '#8a8a8a')

_N_BINS = 60

# What is no component: bars of a histogram, and what is compared with.
GREY = '#9a9a9a'


def colour(k):
    """Returns the colour of component or mode ``k``; they repeat after 8."""
    return _COLOURS[k % len(_COLOURS)]


def ink():
    """Returns the colour of text, which sums and totals are drawn in."""
    from matplotlib import rcParams
    return rcParams['text.color']


def figure_and_axes(ax, n_rows=1, n_columns=1, size=(4, 3), **options):
    """Returns what to draw on: what is given, or a figure of pyplot's.

    Args:
        ax (~matplotlib.axes.Axes or array of them or None): What is given.
        n_rows (int): Number of rows of axes that are needed.
        n_columns (int): Number of columns.
        size (tuple of float): Width and height of each of a new figure's, in
            inches.
        options: What else :func:`matplotlib.pyplot.subplots` takes.

    Returns:
        tuple: The figure, and the axes, an array ``(n_rows, n_columns)``.

    Raises:
        ValueError: If other axes are given than are needed.

    """
    if ax is None:
        from matplotlib import pyplot
        return pyplot.subplots(
            n_rows, n_columns, squeeze=False, layout='constrained',
            figsize=(n_columns * size[0], n_rows * size[1]), **options)
    given = numpy.array(ax, dtype=object)
    if given.size != n_rows * n_columns:
        raise ValueError(f'ax holds {given.size} axes: {n_rows} rows of '
                         f'{n_columns} are needed')
    given = given.reshape(n_rows, n_columns)
    return given[0, 0].figure, given


def component_handles(n_components, noun='component'):
    """Returns what a legend shows of components."""
    from matplotlib.patches import Patch
    return [Patch(color=colour(k), label=f'{noun} {k}')
            for k in range(n_components)]


def legend_below(figure, handles):
    """Puts a legend below all axes, where it hides nothing."""
    longest = max(len(handle.get_label()) for handle in handles)
    # In inches: what stands for it, and its letters.
    width = .6 + .06 * longest
    n_columns = max(1, min(len(handles), 5, int(
        figure.get_figwidth() / width)))
    figure.legend(handles=handles, ncols=n_columns, frameon=False,
                  loc='outside lower center', fontsize='small')


def draw_components(ax, grid, densities, weights):
    """Draws those components that are there, filled in their colours.

    Args:
        ax (~matplotlib.axes.Axes): Where to draw.
        grid (numpy.ndarray): Where the densities are known, ``(n,)``.
        densities (numpy.ndarray): Weighted densities ``(K, n)``.
        weights (numpy.ndarray): ``(K,)``.

    """
    from matplotlib.colors import to_rgba
    for k, density in enumerate(densities):
        if weights[k] > 0:
            ax.fill_between(grid, density, facecolor=to_rgba(colour(k), .35),
                            edgecolor=colour(k), linewidth=1)


def shown_range(low, high):
    """Returns a range to draw in: of a channel that is constant, 1 wide."""
    return (low, high) if low < high else (low - .5, high + .5)


def draw_histogram(ax, x, low, high, **style):
    """Draws a histogram whose area is the share of what lies within.

    Args:
        ax (~matplotlib.axes.Axes): Where to draw.
        x (numpy.ndarray): Values ``(M,)``.
        low (float): From where on they are counted.
        high (float): Up to where.
        style: What else :meth:`matplotlib.axes.Axes.hist` takes.

    """
    weights = numpy.full(x.shape, _N_BINS / (len(x) * (high - low)))
    ax.hist(x, _N_BINS, range=(low, high), weights=weights,
            **{'histtype': 'stepfilled', **style})


def histogram_height(x, low, high):
    """Returns the height of the histogram of :func:`draw_histogram`."""
    counts, _ = numpy.histogram(x, _N_BINS, (low, high))
    return counts.max() * _N_BINS / (len(x) * (high - low))


def choose_channels(channels, n_channels):
    """Checks numbers of channels, or chooses some.

    Args:
        channels (sequence of int or None): What is asked for; ``None`` for
            four, evenly among all.
        n_channels (int): How many there are.

    Returns:
        numpy.ndarray: Numbers of channels.

    Raises:
        ValueError: If one of them is not there.

    """
    if channels is None:
        n = min(4, n_channels)
        return numpy.arange(n) * n_channels // n
    channels = numpy.asarray(channels)
    if channels.ndim != 1 or channels.size == 0 or (
            channels.dtype.kind not in 'iu') or not (
            (channels >= 0) & (channels < n_channels)).all():
        raise ValueError(f'channels is {channels.tolist()!r}: it must be a '
                         f'list of integers from 0 to {n_channels - 1}')
    return channels


def gaussian(x, mean, variance):
    """Returns the density of a Gaussian, of a tiny width at least."""
    variance = numpy.maximum(variance, numpy.finfo(numpy.float32).tiny)
    return numpy.exp(-.5 * (x - mean) ** 2 / variance) / numpy.sqrt(
        2 * numpy.pi * variance)
