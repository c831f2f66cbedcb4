"""A paper's tables as recipes: settings of a training script by name."""

import textwrap
import typing

from train.text_table import text_table


class Table(typing.NamedTuple):

    """The rows of one table, and what they stand for.

    Attributes:
        title (str): Which table it is, and of what.
        columns (tuple of str): What the rows hold; the first is the recipe,
            the second the normalizer.
        rows (tuple of tuple): A row for each recipe.
        settings (callable): Takes a row's cells and returns the settings.
        note (str): What all rows have in common.
        reconstructed (dict): What the copy of the paper that was at hand
            lacks, as tuples of short phrases: for each normalizer that they
            are about, and for ``None`` those about all.

    """

    title: str
    columns: tuple
    rows: tuple
    settings: typing.Callable
    note: str
    reconstructed: dict


def recipes(tables):
    """Returns the settings that the rows of tables stand for.

    Args:
        tables (tuple of Table): The tables.

    Returns:
        dict: Maps the recipes' names to dictionaries.

    """
    return {row[0]: table.settings(*row)
            for table in tables for row in table.rows}


def reconstructed(tables):
    """Returns what of each recipe is not in the paper.

    Args:
        tables (tuple of Table): The tables.

    Returns:
        dict: Maps the recipes' names to tuples of phrases.

    """
    return {row[0]: table.reconstructed.get(None, ())
            + table.reconstructed.get(row[1], ())
            for table in tables for row in table.rows}


def as_text(tables):
    """Returns tables of recipes to print.

    Args:
        tables (tuple of Table): The tables.

    Returns:
        str: Each with its title, its rows, and what was reconstructed.

    """
    return '\n\n'.join(map(_as_text, tables))


def _as_text(table):
    lines = [table.title, '',
             text_table([table.columns, *(map(_cell, row)
                                          for row in table.rows)]),
             '', *textwrap.wrap(table.note, 79)]
    for normalizer, phrases in table.reconstructed.items():
        whose = f' with {normalizer}' if normalizer else ''
        lines += textwrap.wrap(
            f"Reconstructed{whose}: {'; '.join(phrases)}.", 79)
    return '\n'.join(lines)


def _cell(value):
    # 1e-4, as the papers have it, where Python has 0.0001.
    if isinstance(value, float) and value < .001:
        return f'{value:.0e}'.replace('-0', '-')
    return ' '.join(map(str, value)) if isinstance(value, tuple) else value
