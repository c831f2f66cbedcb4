"""A picture of comparisons: the papers' figures and ours, row by row."""

import math
import os
import textwrap

from mixnorm.files import replacing
from mixnorm.inspection.canvas import colour, GREY


_STYLES = {
    'paper': {'color': GREY, 'marker': 'o', 'markerfacecolor': 'white',
              'markersize': 9, 'markeredgewidth': 2},
    'ours': {'color': colour(0), 'marker': 'o', 'markersize': 6},
    'ours, otherwise than the recipe': {
        'color': colour(5), 'marker': 'D', 'markersize': 6}}


def draw(comparisons, path):
    """Draws the rows that there are results for.

    A panel for each column of a table. Bars are one standard deviation long
    to either side.

    Args:
        comparisons (list of tuple): Tables, and what
            :func:`tools.paper_table.comparison.compare` returns of them.
        path (str): The image file to write; its ending gives the format.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If there is nothing to draw, or matplotlib knows no format
            of that ending.

    """
    # A figure of its own, which no backend or window of the user's is in.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    found = [(table, lines) for table, lines in (
        (table, [line for group in groups for line in group if line.n_runs])
        for table, groups in comparisons) if lines]
    if not found:
        raise ValueError('there is no result to draw')
    heights = [1.3 + .32 * len(lines) for _, lines in found]
    n_columns = max(len(table.columns) for table, _ in found)
    figure = Figure(figsize=(3.2 + 2.7 * max(n_columns, 2),
                             sum(heights) + .5), layout='constrained')
    canvas = FigureCanvasAgg(figure)
    ending = os.path.splitext(path)[1][1:].lower()
    if ending not in canvas.get_supported_filetypes():
        raise ValueError(
            f'path is {path!r}: it must end in one of '
            f"{', '.join(sorted(canvas.get_supported_filetypes()))}")
    parts = figure.subfigures(len(found), 1, squeeze=False,
                              height_ratios=heights)[:, 0]
    for part, (table, lines) in zip(parts, found):
        _draw_table(part, table, lines)
    _draw_legend(figure, {_style_of(line) for _, lines in found
                          for line in lines})
    with replacing(path, 'wb') as file:
        figure.savefig(file, dpi=120, format=ending)


def _draw_table(part, table, lines):
    part.suptitle(textwrap.fill(table.title, 48 + 28 * len(table.columns)),
                  fontsize='medium')
    panels = part.subplots(1, len(table.columns), squeeze=False,
                           sharey=True)[0]
    for i, (axes, column) in enumerate(zip(panels, table.columns)):
        for y, line in enumerate(lines):
            for style, figures in (('paper', line.paper),
                                   (_style_of(line), line.ours)):
                # Beside each other, so that bars do not hide bars.
                offset = -.12 if style == 'paper' else .12
                _draw_figure(axes, y + offset, figures[i], style)
        axes.set_xlabel(column.axis)
        axes.grid(alpha=.3)
        axes.margins(x=.12)
        axes.locator_params(axis='x', nbins=5)
    panels[0].set_yticks(range(len(lines)), [
        f'{line.recipe}, {line.n_runs} run{"s" if line.n_runs > 1 else ""}'
        for line in lines])
    panels[0].set_ylim(len(lines) - .4, -.6)


def _style_of(line):
    return ('ours' if line.is_as_recipe
            else 'ours, otherwise than the recipe')


def _draw_figure(axes, y, figure, style):
    if figure is None:
        return
    if figure.value == math.inf:
        axes.annotate('not reached', (.98, y),
                      xycoords=axes.get_yaxis_transform(), ha='right',
                      va='center', color=_STYLES[style]['color'],
                      fontsize='small')
        return
    axes.errorbar(figure.value, y, xerr=figure.deviation, linestyle='none',
                  capsize=3, zorder=2 if style == 'paper' else 3,
                  **_STYLES[style])


def _draw_legend(figure, styles):
    from matplotlib.lines import Line2D
    figure.legend(
        handles=[Line2D([], [], linestyle='none', label=name, **style)
                 for name, style in _STYLES.items()
                 if name == 'paper' or name in styles],
        loc='outside lower center', ncols=3, frameon=False)
