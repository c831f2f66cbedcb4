"""Holds fits of the same points against each other."""

import functools
import math
import typing

import chainer
import numpy
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score

from mixnorm.mixture import kmeans_plusplus, Parameters
from tools.validate_gmm import extended_precision
from tools.validate_gmm.fits import (
    describe, Fit, fit_ours, fit_theirs, peak_bytes, times_by_turns)
from tools.validate_gmm.point_sets import PointSet

OURS, THEIRS, EXACT = 'mixnorm', 'scikit-learn', 'extended precision'


class Difference(typing.NamedTuple):

    """How far a fit is from another, the reference.

    Components are matched first.  The greatest difference counts.

    Attributes:
        log_likelihood (float): Relative, or absolute where it is below 1.
        weights (float): Absolute.
        means (float): In standard deviations of the reference's component.
        variances (float): Relative.
        rand_index (float): Adjusted Rand index of the two assignments of
            points to components; 1 where they are the same.

    """

    log_likelihood: float
    weights: float
    means: float
    variances: float
    rand_index: float

    @property
    def greatest(self):
        # Unlike Python's, it is not a number if one of them is not.
        return float(numpy.max([self.log_likelihood, self.weights, self.means,
                                self.variances]))


class Pair(typing.NamedTuple):

    """Two fits that should be the same.

    Attributes:
        fits (tuple of str): Names of the fit and the reference.
        difference (Difference or None): ``None`` if one of them failed.
        tolerance (float or None): How large it may be; ``None`` where
            scikit-learn's formula holds no digits.

    """

    fits: typing.Tuple[str, str]
    difference: typing.Optional[Difference]
    tolerance: typing.Optional[float]

    @property
    def agree(self):
        if self.tolerance is None:
            return True
        # Not ">": what is not a number agrees with nothing.
        return (self.difference is not None
                and self.difference.greatest <= self.tolerance)


class Verdict(typing.NamedTuple):

    """Whether the fits from one start agree.

    Attributes:
        agree (bool): Whether all pairs do.
        short (str): The verdict in a few words.
        reason (str): Who is right where digits differ; may be empty.

    """

    agree: bool
    short: str
    reason: str = ''


class Comparison(typing.NamedTuple):

    """All that is found on one set of points.

    Attributes:
        points (PointSet): The set.
        distance (float): Of the origin from the farthest component, in its
            standard deviations (Mahalanobis).
        same_start (dict): Maps ``OURS``, ``THEIRS`` and ``EXACT`` to the fits
            from one start with one number of iterations.
        pairs (list of Pair): Their differences.
        own_seeding (dict): Maps ``OURS`` and ``THEIRS`` to the fits from
            either's own seeding.
        own_difference (Difference or None): Of these.
        verdict (Verdict): What that means.

    """

    points: PointSet
    distance: float
    same_start: typing.Dict[str, Fit]
    pairs: typing.List[Pair]
    own_seeding: typing.Dict[str, Fit]
    own_difference: typing.Optional[Difference]
    verdict: Verdict


def compare(point_set, options, device, repeats, roundings, progress):
    """Fits one set in every way and compares the outcomes.

    Args:
        point_set (PointSet): The points.
        options (Options): What both libraries are told.
        device (~chainer.backend.Device): Where mixnorm works.
        repeats (int): How often to time a fit.
        roundings (float): How many roundings an iteration fits may differ
            by.
        progress (callable): Is told what goes on.

    Returns:
        Comparison: The outcome.

    """
    points, n_components = point_set.points, point_set.n_components
    start = common_start(points, n_components, options)
    parameters, n_iter, converged = extended_precision.fit(
        points, start, options.reg_covar, options.tol, options.max_iter,
        lambda i: progress(f'{EXACT}, iteration {i}'))
    exact = _describe_exact(points, parameters, n_iter, converged)
    # Two that stop by themselves may do so at different iterations, when
    # the gain is within rounding of the tolerance.
    same = options._replace(tol=0., max_iter=n_iter)
    cpu = chainer.get_device('@numpy')
    fits = _measured({
        (which, library): (
            functools.partial(fit, n_components=n_components, options=chosen,
                              start=chosen_start), where.send(points), where)
        for which, chosen, chosen_start in (('same', same, start),
                                            ('own', options, None))
        for library, fit, where in ((OURS, fit_ours, device),
                                    (THEIRS, fit_theirs, cpu))},
        repeats, device, progress)
    # Without a tolerance of their own, they cannot tell.
    same_start = {name: fits['same', name]._replace(converged=None)
                  for name in (OURS, THEIRS)}
    same_start[EXACT] = exact
    own = {name: fits['own', name] for name in (OURS, THEIRS)}
    distance = distance_of_origin(exact.parameters)
    pairs = _pairs(same_start, tolerances(
        points.dtype, distance, n_iter * roundings))
    return Comparison(
        point_set, distance, same_start, pairs, own,
        _difference(own[OURS], own[THEIRS]), judge(same_start, pairs))


def common_start(points, n_components, options):
    """Returns a start in the points' dtype, so that no library rounds it.

    Args:
        points (numpy.ndarray): ``(M, C)``.
        n_components (int): Number of components ``K``.
        options (Options): The options.

    Returns:
        Parameters: Centres by K-means++ as means, equal weights but for
        rounding, and the variances of all points.

    """
    centers, _ = kmeans_plusplus(
        points, n_components, random_state=options.seed)
    variances = points.var(axis=0, dtype=numpy.float64) + options.reg_covar
    # Of so few bits that they sum to 1 exactly, which scikit-learn checks.
    weights = numpy.full(n_components, 2 ** 20 // n_components / 2 ** 20)
    weights[0] += 1 - weights.sum()
    return Parameters(
        weights.astype(points.dtype), centers,
        numpy.tile(variances, (n_components, 1)).astype(points.dtype))


def _describe_exact(points, parameters, n_iter, converged):
    tau, log_density = extended_precision.posterior(
        points.astype(numpy.longdouble), parameters)
    n_components, n_dims = parameters.means.shape
    n_parameters = n_components * (2 * n_dims + 1) - 1
    return Fit(
        parameters=parameters, log_likelihood=float(log_density.mean()),
        bic=float(-2 * log_density.sum()
                  + n_parameters * math.log(len(points))),
        iterations=n_iter, converged=converged, labels=tau.argmax(axis=0))


def _measured(sides, repeats, device, progress):
    fits = {}
    for i, (key, (fit, points, where)) in enumerate(sides.items(), start=1):
        progress(f'fit {i} of {len(sides)}')
        fits[key] = describe(fit, points, where)
    succeeded = {
        key: lambda fit=fit, points=points: fit(points)
        for key, (fit, points, _) in sides.items() if not fits[key].error}
    progress('times')
    for key, seconds in times_by_turns(succeeded, repeats, device).items():
        fits[key] = fits[key]._replace(seconds=seconds)
    progress('memory')
    for key, function in succeeded.items():
        # tracemalloc does not see a GPU's.
        if sides[key][2].xp is numpy:
            fits[key] = fits[key]._replace(peak_bytes=peak_bytes(function))
    return fits


def match(parameters, reference):
    """Finds which component is which.

    Args:
        parameters (Parameters): A mixture of K components.
        reference (Parameters): Another.

    Returns:
        numpy.ndarray: For each component of the reference the number of the
        component of the first mixture that stands for it, ``(K,)``, such that
        the sum of the symmetric Kullback-Leibler divergences between them is
        the least.

    """
    _, mean, variance = (z.astype(float) for z in parameters)
    _, other_mean, other_variance = (
        z.astype(float)[:, None] for z in reference)
    ratio = variance / other_variance
    divergence = (ratio + 1 / ratio - 2 + (mean - other_mean) ** 2 * (
        1 / variance + 1 / other_variance)).sum(axis=2) / 2
    return linear_sum_assignment(divergence)[1]


def compare_parameters(parameters, reference):
    """Compares mixtures after matching their components.

    Args:
        parameters (Parameters): A mixture.
        reference (Parameters): Another, with as many components.

    Returns:
        tuple of float: The greatest differences of weights, means and
        variances, in the units of :class:`Difference`.

    """
    order = match(parameters, reference)
    weights, means, variances = (z[order] for z in parameters)
    return (
        float(abs(weights - reference.weights).max()),
        float((abs(means - reference.means)
               / numpy.sqrt(reference.variances)).max()),
        float((abs(variances - reference.variances)
               / reference.variances).max()))


def _difference(fit, reference):
    if fit.error or reference.error:
        return None
    return Difference(
        abs(fit.log_likelihood - reference.log_likelihood) / max(
            1., abs(reference.log_likelihood)),
        *compare_parameters(fit.parameters, reference.parameters),
        float(adjusted_rand_score(reference.labels, fit.labels)))


def distance_of_origin(parameters):
    """Returns how far the origin is from a mixture.

    Args:
        parameters (Parameters): The mixture.

    Returns:
        float: The greatest Mahalanobis distance of the origin from a
        component.

    """
    return float(numpy.sqrt(
        (parameters.means ** 2 / parameters.variances).sum(axis=1)).max())


def tolerances(dtype, distance, roundings):
    """Returns how far fits in a dtype may be from extended precision.

    A point that lies d deviations from the origin is rounded by d * eps
    deviations before anyone computes with it.  Who subtracts a point amid the
    data first, as mixnorm does, adds errors of this order.  Who multiplies
    out, ``x^2 - 2 x m + m^2``, as scikit-learn does, has terms of d^2 and with
    them errors of d^2 * eps.

    Args:
        dtype (numpy.dtype): The points' dtype.
        distance (float): d.
        roundings (float): How many times as much it may be: errors of one
            iteration are handed on by the next.

    Returns:
        tuple: What mixnorm may be off by; and scikit-learn, ``None`` where
        its terms have no digits left.

    """
    rounding = roundings * float(numpy.finfo(dtype).eps)
    expanded = rounding * (1 + distance) ** 2
    return rounding * (1 + distance), expanded if expanded < 1 else None


def _pairs(fits, allowed):
    direct, expanded = allowed
    both = None if expanded is None else direct + expanded
    return [
        Pair((name, reference), _difference(fits[name], fits[reference]),
             tolerance)
        for name, reference, tolerance in (
            (OURS, THEIRS, both), (OURS, EXACT, direct),
            (THEIRS, EXACT, expanded))]


def judge(fits, pairs):
    """Says whether the fits from the same start agree, and who is right.

    Args:
        fits (dict): The fits, by name.
        pairs (list of Pair): ``OURS`` with ``THEIRS``, ``OURS`` with
            ``EXACT``, ``THEIRS`` with ``EXACT``.

    Returns:
        Verdict: The verdict.

    """
    both, ours, theirs = pairs
    failed = ''.join(f'; {name} found no mixture: {fit.error}'
                     for name, fit in fits.items() if fit.error)
    if not all(pair.agree for pair in pairs):
        # Should each be within its own tolerance, then neither is the one.
        off = [pair.fits[0] for pair in (ours, theirs) if not pair.agree]
        return Verdict(False, 'DISAGREE', (
            f"{' and '.join(off) or 'neither'} beyond the tolerance from "
            f'extended precision{failed}'))
    if theirs.tolerance is None:
        return Verdict(True, f'{OURS} is right', (
            f'{THEIRS} is not judged, whose formula holds no digits this far '
            f'from the origin{failed}'))
    if theirs.difference.greatest > ours.tolerance:
        return Verdict(True, f'agree, {THEIRS} lost digits', (
            f'by extended precision, {OURS} is off by '
            f'{ours.difference.greatest:.0e} and {THEIRS} by '
            f'{theirs.difference.greatest:.0e}, as its formula must be this '
            'far from the origin'))
    return Verdict(True, 'agree')
