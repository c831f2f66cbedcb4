"""Comparisons as text and as Markdown."""

import math
import textwrap

from train.text_table import text_table


def as_text(table, groups):
    """Returns a comparison as a table of text.

    Args:
        table (~tools.paper_table.published.Table): The table.
        groups (list of list of ~tools.paper_table.comparison.Line): Its
            lines.

    Returns:
        str: The title, the lines, and what their notes stand for.

    """
    titles, rows, notes = _cells(table, groups)
    return '\n'.join(
        [*textwrap.wrap(table.title, 79), '']
        + [line.rstrip()
           for line in text_table([titles, *rows]).splitlines()] + ['']
        + [line for note in notes
           for line in textwrap.wrap(note, 79)]).rstrip()


def as_markdown(table, groups):
    """Returns a comparison in Markdown; see :func:`as_text`."""
    titles, rows, notes = _cells(table, groups)
    lines = [titles, ['---'] + ['---:'] * (len(titles) - 1), *rows]
    return '\n'.join(
        [f'### {table.title}', '']
        + [f"| {' | '.join(line)} |" for line in lines]
        + [''] + [f'- {note}' for note in notes]).rstrip()


def shown(figure, digits):
    """Returns a figure as tables print it.

    Args:
        figure (~tools.paper_table.comparison.Figure or None): The figure.
        digits (int): Digits after the point.

    Returns:
        str: Such as ``26.91 +- 1.08`` or ``1.34 (4 of 5)``.

    """
    if figure is None:
        return '-'
    text = ('not reached' if figure.value == math.inf
            else f'{figure.value:.{digits}f}')
    if figure.deviation is not None:
        text += f' +- {figure.deviation:.{digits}f}'
    return text + (f' ({figure.reached})' if figure.reached else '')


def _cells(table, groups):
    """Returns titles and rows of a comparison, and what is told below."""
    titles = ['row', *(
        f'{whose} {column.title}'.rstrip()
        for column in table.columns for whose in ('paper', 'ours')),
        'runs', 'notes']
    numbers = {}
    rows = []
    for line in (line for group in groups for line in group):
        for note in line.notes:
            numbers.setdefault(note, len(numbers) + 1)
        rows.append([line.recipe, *(
            shown(figure, column.digits)
            for column, both in zip(table.columns, zip(line.paper, line.ours))
            for figure in both),
            str(line.n_runs or '-'),
            ' '.join(f'[{number}]' for number in sorted(
                numbers[note] for note in line.notes))])
    notes = [f'[{number}] {note}' for note, number in numbers.items()]
    return titles, rows, notes + [table.note] * bool(table.note)
