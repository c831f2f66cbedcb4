"""The rows of a paper's table, with what runs found beside them."""

import statistics
import typing

from train.experiments import gan
from train.experiments import mixture_paper
from train.experiments import mode_paper
from train.run_log import median_and_count, summarize


class Figure(typing.NamedTuple):

    """A figure of the paper's or of one or several runs.

    Attributes:
        value (float): Itself, or a mean or median; infinite for a target that
            was not reached.
        deviation (float or None): Sample standard deviation.
        reached (str or None): How many of several runs reached a target.

    """

    value: float
    deviation: typing.Optional[float] = None
    reached: typing.Optional[str] = None


class Line(typing.NamedTuple):

    """One line of a comparison.

    Attributes:
        recipe (str): The row.
        paper (tuple of Figure or None): In the order of the table's columns.
        ours (tuple of Figure or None): The same.
        n_runs (int): How many runs are behind ours.
        is_as_recipe (bool): Whether they do all that the recipe says.
        notes (tuple of str): What tells ours from the paper's.

    """

    recipe: str
    paper: tuple
    ours: tuple
    n_runs: int
    is_as_recipe: bool
    notes: tuple


def compare(table, runs):
    """Puts the figures of runs beside those of a table.

    Runs of one row that have the same differences from its recipe, and the
    same conditions, are averaged; others have lines of their own. Steps are
    those to the best of the baseline's run with the same seed, as the papers
    compare single runs; where there is none, to the mean of the bests of the
    baseline's runs. The baseline must differ from its recipe as the others
    do, but for their normalizers.

    Args:
        table (~tools.paper_table.published.Table): The table.
        runs (list of ~tools.paper_table.results.Run): Runs, of these rows or
            others.

    Returns:
        list of list of Line: For each group of the table its lines, at least
        one for each row.

    """
    alike = {}
    for run in runs:
        alike.setdefault(run.recipe, {}).setdefault(
            (run.differences, run.conditions), []).append(run)
    return [[
        _line(table, recipe, figures, made, found,
              alike.get(next(iter(group)), {}))
        for recipe, figures in group.items()
        for made, found in alike.get(recipe, {((), ()): []}).items()]
        for group in table.groups]


def _line(table, recipe, figures, made, runs, baselines):
    differences, conditions = made
    notes = []
    reconstructed = _reconstructed().get(recipe, ())
    if reconstructed:
        notes.append('reconstructed, not from the paper: '
                     + '; '.join(reconstructed))
    if differences:
        notes.append('not as the recipe, whose settings are in brackets: '
                     + ', '.join(difference.text
                                 for difference in differences))
    notes += conditions
    made_alike = tuple(difference for difference in differences
                       if not difference.of_the_normalizer)
    baseline = baselines.get((made_alike, conditions), [])
    has_steps = any(column.figure == 'steps' for column in table.columns)
    if runs and has_steps and not baseline:
        notes.append('no target: there is no run of the baseline that was '
                     'made the same way')
    return Line(
        recipe, tuple(map(_published, figures)), tuple(
            _steps(runs, baseline) if column.figure == 'steps'
            else _mean(runs, column.figure) for column in table.columns),
        len(runs), not differences, tuple(notes))


def _reconstructed():
    return {**mixture_paper.RECONSTRUCTED, **mode_paper.RECONSTRUCTED,
            **gan.RECONSTRUCTED}


def _published(figure):
    if figure is None:
        return None
    return Figure(*figure) if isinstance(figure, tuple) else Figure(figure)


def _mean(runs, name):
    values = [run.figures[name] for run in runs]
    if not values or None in values:
        return None
    return Figure(statistics.mean(values),
                  statistics.stdev(values) if len(values) > 1 else None)


def _steps(runs, baseline):
    """Returns the median of steps, in 10,000, to the baseline's best."""
    if not runs or not baseline:
        return None
    targets = {run.seed: summarize(run.log)['best'] for run in baseline}
    mean = statistics.mean(targets.values())
    steps = [summarize(run.log, targets.get(run.seed, mean))[
        'steps_to_target'] for run in runs]
    median, reached = median_and_count(steps)
    return Figure(median / 10000, None, f'{reached} of {len(runs)}'
                  if len(runs) > 1 else None)
