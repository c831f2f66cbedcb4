"""What the comparison found, as text and as JSON."""

import math
import textwrap

import numpy
from sklearn.metrics import adjusted_rand_score

from tools.validate_gmm.comparison import OURS, THEIRS
from train.text_table import text_table


def preface(options, roundings):
    """Returns what is compared, as text."""
    return '\n\n'.join(textwrap.fill(text, 79) for text in (
        'Both libraries fit mixtures of diagonal Gaussians to the same '
        'points: from the same start (K-means++ centres, equal weights, the '
        'variances of all points) for the same number of iterations, and '
        'each from a seeding of its own. The same EM in extended precision '
        'tells which is right. It sets the number of iterations, too: as '
        f'many as it takes to gain less than {options.tol:g}, at most '
        f'{options.max_iter}.',
        'Differences are the greatest over matched components: of weights '
        'as they are, of means in standard deviations, of variances and '
        'the log-likelihood (per point, in nats) relative. The Rand index '
        'compares assignments of points to components, of a fit with the '
        'groups that a synthetic set was drawn from, or of two fits; it is '
        'adjusted: 1 is the same, 0 what chance gives. Time is the median of '
        'fits by turns, memory the most that arrays take beyond the points.',
        'The verdict is on the same start. The tolerance is '
        f'{roundings:g} roundings of the dtype for each iteration, times '
        '1 + d for mixnorm and (1 + d)^2 for scikit-learn, d being how many '
        'deviations from the origin the points lie: scikit-learn computes '
        'x^2 - 2 x m + m^2, whose terms are of size d^2; mixnorm first '
        'subtracts a point amid the data. Own seedings draw different '
        'centres, and EM climbs to the optimum nearest to them: that they '
        'differ is no fault, and no part of the verdict.'))


def describe_set(comparison):
    """Returns the tables of one set, as text.

    Args:
        comparison (Comparison): What was found.

    Returns:
        str: The lines.

    """
    points = comparison.points
    n_points, n_dims = points.points.shape
    rows = [['', 'log-likelihood', 'BIC', 'iterations', 'converged',
             *([] if points.groups is None else ['Rand index']), 'ms',
             'peak MiB']]
    for title, fits in (('same start', comparison.same_start),
                        ('own seeding', comparison.own_seeding)):
        rows += [[f'{title}, {name}', *_figures(fit, points.groups)]
                 for name, fit in fits.items()]
    differences = [['difference', 'log-likelihood', 'weights', 'means',
                    'variances', 'Rand index', 'tolerance']]
    for pair in comparison.pairs:
        differences.append([
            ' to '.join(pair.fits), *_differences(pair.difference),
            'none' if pair.tolerance is None else f'{pair.tolerance:.1e}'])
    differences.append(['own seedings', *_differences(
        comparison.own_difference), None])
    return '\n'.join([
        f'{points.name}: {points.description}',
        f'{n_points} points, {n_dims} dimensions, {points.points.dtype}, '
        f'{points.n_components} components, d = {comparison.distance:.3g}',
        '', text_table(rows), '', text_table(differences), '',
        textwrap.fill('verdict: ' + ': '.join(
            filter(None, comparison.verdict[1:])), 79)])


def _figures(fit, groups):
    if fit.error:
        return [None] * (7 if groups is not None else 6)
    return [
        f'{fit.log_likelihood:.9g}', f'{fit.bic:.9g}', fit.iterations,
        {None: None, True: 'yes', False: 'no'}[fit.converged],
        *([] if groups is None else [
            f'{adjusted_rand_score(groups, fit.labels):.4f}']),
        None if fit.seconds is None else f'{1e3 * fit.seconds:.1f}',
        None if fit.peak_bytes is None else f'{fit.peak_bytes / 2 ** 20:.2f}']


def _differences(difference):
    if difference is None:
        return [None] * 5
    *distances, rand_index = difference
    return [*(f'{z:.1e}' for z in distances), f'{rand_index:.4f}']


def summary(comparisons):
    """Returns the table over all sets, as text."""
    rows = [['set', 'd', f'{OURS} off by', 'tolerance', f'{THEIRS} off by',
             'tolerance', 'verdict']]
    for comparison in comparisons:
        row = [comparison.points.name, f'{comparison.distance:.3g}']
        for pair in comparison.pairs[1:]:
            row += [
                'failed' if pair.difference is None
                else f'{pair.difference.greatest:.0e}',
                'none' if pair.tolerance is None else f'{pair.tolerance:.0e}']
        rows.append(row + [comparison.verdict.short])
    return text_table(rows)


def as_json(comparison):
    """Returns all figures of one set in what JSON can hold.

    Args:
        comparison (Comparison): What was found.

    Returns:
        dict: The figures; ``None`` where there is none, or no finite one.

    """
    points = comparison.points
    n_points, n_dims = points.points.shape
    return {
        'name': points.name, 'description': points.description,
        'points': n_points, 'dimensions': n_dims,
        'dtype': str(points.points.dtype),
        'components': points.n_components,
        'distance_of_origin': _finite(comparison.distance),
        'same_start': {name: _fit(fit, points.groups)
                       for name, fit in comparison.same_start.items()},
        'differences': [{
            'of': pair.fits[0], 'to': pair.fits[1],
            **_difference(pair.difference),
            'tolerance': pair.tolerance, 'agree': pair.agree}
            for pair in comparison.pairs],
        'own_seeding': {
            **{name: _fit(fit, points.groups)
               for name, fit in comparison.own_seeding.items()},
            'difference': _difference(comparison.own_difference)},
        'verdict': comparison.verdict._asdict()}


def _fit(fit, groups):
    if fit.error:
        return {'error': fit.error}
    found = {name: _finite(value) for name, value in fit._asdict().items()
             if name not in ('error', 'parameters', 'labels')}
    if groups is not None:
        found['rand_index'] = adjusted_rand_score(groups, fit.labels)
    return dict(found, **{
        name: numpy.asarray(value, float).tolist()
        for name, value in fit.parameters._asdict().items()})


def _difference(difference):
    return {} if difference is None else {
        name: _finite(value) for name, value in difference._asdict().items()}


def _finite(value):
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
