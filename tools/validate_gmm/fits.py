"""Fits by either library, with what they cost."""

import statistics
import tracemalloc
import typing
import warnings

import numpy
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from mixnorm.mixture import DiagonalGaussianMixture, Parameters
from tools.benchmark.harness import measure
from train.command_line import one_line


class Options(typing.NamedTuple):

    """What both libraries are told.

    Attributes:
        max_iter (int): Most iterations of EM.
        tol (float): EM stops when the mean log density gains less.
        reg_covar (float): Added to variances.
        seed (int): Of the seedings.

    """

    max_iter: int
    tol: float
    reg_covar: float
    seed: int


class Fit(typing.NamedTuple):

    """A fitted mixture, or why there is none.

    Attributes:
        error (str or None): Why there is none; the others are ``None`` then.
        parameters (Parameters): The mixture, on the CPU.
        log_likelihood (float): Mean log density of the points, in nats.
        bic (float): Bayesian information criterion.
        iterations (int): Iterations of EM.
        converged (bool): Whether the tolerance was reached.
        labels (numpy.ndarray): Component ``(M,)`` of greatest posterior.
        seconds (float): Median time of a fit.
        peak_bytes (int): The most memory that is in use during a fit, beyond
            what was before.

    """

    error: typing.Optional[str] = None
    parameters: typing.Optional[Parameters] = None
    log_likelihood: typing.Optional[float] = None
    bic: typing.Optional[float] = None
    iterations: typing.Optional[int] = None
    converged: typing.Optional[bool] = None
    labels: typing.Optional[numpy.ndarray] = None
    seconds: typing.Optional[float] = None
    peak_bytes: typing.Optional[int] = None


def fit_ours(points, n_components, options, start=None):
    """Fits with mixnorm.

    Args:
        points (array): ``(M, C)``, NumPy or CuPy.
        n_components (int): Number of components ``K``.
        options (Options): The options.
        start (Parameters or None): Where EM starts; ``None`` for a seeding
            of the library's own.

    Returns:
        DiagonalGaussianMixture: The fitted mixture.

    """
    with warnings.catch_warnings():
        # It tells when it has not converged; so does the table.
        warnings.simplefilter('ignore', ConvergenceWarning)
        return DiagonalGaussianMixture(
            n_components, max_iter=options.max_iter, tol=options.tol,
            reg_covar=options.reg_covar, random_state=options.seed,
            **({} if start is None else {
                'weights_init': start.weights, 'means_init': start.means,
                'covariances_init': start.variances})).fit(points)


def fit_theirs(points, n_components, options, start=None):
    """Fits with scikit-learn; see :func:`fit_ours`."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # As above.
        return GaussianMixture(
            n_components, covariance_type='diag', max_iter=options.max_iter,
            tol=options.tol, reg_covar=options.reg_covar,
            random_state=options.seed,
            **({} if start is None else {
                'weights_init': start.weights, 'means_init': start.means,
                'precisions_init': 1 / start.variances})).fit(points)


def describe(fit, points, device):
    """Fits once and describes the outcome.

    Args:
        fit (callable): Takes points and returns a fitted mixture.
        points (array): ``(M, C)``, NumPy or CuPy.
        device (~chainer.backend.Device): Where the points are.

    Returns:
        Fit: The outcome, without what it costs.

    """
    try:
        mixture = fit(points)
    except ValueError as error:
        return Fit(error=one_line(error))
    send = _to_cpu(device)
    parameters = Parameters(*map(send, (
        mixture.weights_, mixture.means_, mixture.covariances_)))
    if not all(numpy.isfinite(z).all() for z in parameters):
        return Fit(error='its parameters are not finite')
    return Fit(
        parameters=parameters,
        log_likelihood=float(mixture.score(points)),
        bic=float(mixture.bic(points)), iterations=int(mixture.n_iter_),
        converged=bool(mixture.converged_),
        labels=send(mixture.predict(points)))


def _to_cpu(device):
    return (lambda z: z) if device.xp is numpy else device.xp.asnumpy


def times_by_turns(functions, repeats, device):
    """Measures functions by turns.

    What else the machine does disturbs all of them alike.

    Args:
        functions (dict): Maps names to what to measure, called before.
        repeats (int): How often.
        device (~chainer.backend.Device): Where they work.

    Returns:
        dict: Maps the names to the medians, in seconds.

    """
    times = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            times[name].append(measure(function, device)[0])
    return {name: statistics.median(found) for name, found in times.items()}


def peak_bytes(function):
    """Measures the most memory of a call, beyond what was in use before.

    NumPy reports its arrays to tracemalloc, from whichever thread. What a
    library allocates behind NumPy's back is not counted: buffers of BLAS and
    of scikit-learn's compiled K-means, which are of the size of a block.

    Args:
        function (callable): What to measure, called before.

    Returns:
        int: The number of bytes.

    """
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
