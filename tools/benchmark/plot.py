"""The plot of how time grows."""
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter


def draw_growth(growth, path):
    """Draws time against size on double logarithmic axes.

    Args:
        growth (dict): What :func:`tools.benchmark.growth.measure_growth`
            measured.
        path (str): The image to write.

    """
    figure = Figure(figsize=(10, 4.2), layout='constrained')
    for axes, (name, points) in zip(
            figure.subplots(1, len(growth), squeeze=False)[0],
            growth.items()):
        sizes = [p['size'] for p in points]
        milliseconds = [1e3 * p['seconds'] for p in points]
        axes.loglog(sizes, milliseconds, 'o-', label='measured')
        axes.loglog(
            sizes, [milliseconds[-1] * s / sizes[-1] for s in sizes], '--',
            color='gray', label='in proportion to the size')
        axes.set_xscale('log', base=2)
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel(f'number of {name}')
        axes.set_ylabel('forward and backward pass, ms')
        axes.grid(alpha=.3, which='both')
        axes.legend()
    figure.savefig(path, dpi=100)
