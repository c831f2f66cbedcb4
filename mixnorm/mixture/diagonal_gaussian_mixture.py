"""The estimator, in scikit-learn's manner."""
import copy
import functools
import math
import time
import warnings

import numpy
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.utils import validation

from mixnorm import compute
from mixnorm.checks import (
    check_choice, check_flag, check_integer, check_points,
    check_random_state, check_real)
from mixnorm.compute.layout import (
    device_of, get_array_module, stack, unstack, working_dtype)
from mixnorm.compute.parameters import are_finite, Parameters
from mixnorm.mixture.block_fitting import chosen_points, fit_mixture
from mixnorm.mixture.blocks import (
    as_blocks, comes_in_blocks, device_of_points, is_dask, recognize,
    whole_points)
from mixnorm.mixture.randomness import as_generator
from mixnorm.mixture.seeding import SEEDINGS

__all__ = ['DiagonalGaussianMixture', 'NotFittedError']


def _where_points_are(method):
    """Makes the current device of a method that of its points."""
    @functools.wraps(method)
    def wrapper(self, X, *args, **kwargs):
        X = recognize(X)
        with device_of_points(X):
            return method(self, X, *args, **kwargs)

    return wrapper


class DiagonalGaussianMixture(DensityMixin, BaseEstimator):

    """Mixture of Gaussians with diagonal covariances, fitted by EM.

    The density is ``p(x) = sum_k lambda_k N(x; m_k, diag(s_k^2))``, eqs.
    (26) and (27) of Kalayeh & Shah.  A fit seeds by K-means++, runs
    ``kmeans_iter`` of Lloyd's iterations and then EM until the lower bound
    gains less than ``tol`` or ``max_iter`` iterations are done.  Up to 65536
    points, it depends neither on their order nor on whether a point comes
    twice or has twice the weight.

    It is a scikit-learn estimator.  NumPy arrays in, NumPy arrays out; CuPy
    arrays in, CuPy arrays out, and with ``tol=0`` the iterations never wait
    for the GPU.  The random numbers are drawn on the host: the same seed
    gives the same fit on both.

    Beside matrices ``(M, C)`` it takes activations ``(N, C, *S)``, whose
    points are the channel vectors at every position; what it returns per
    point then has shape ``(N, K, *S)`` or ``(N, *S)``.

    Points need not fit into memory: a **Dask array** is gone through chunk by
    chunk, as Dask schedules it, and so is any **iterable of arrays** that can
    be gone through again, such as a list of memory-mapped arrays.  Every
    iteration is one pass.  The fit equals that to the joined array, up to
    rounding.  What is returned per point is then a Dask array or, for an
    iterable, a generator of the blocks' arrays.

    Args:
        n_components (int): Number of components ``K``.
        init (str): ``'k-means++'``; ``'k-means||'`` or ``'afk-mc2'``, which
            go through the points less often; or ``'random'`` for points drawn
            at random.  See :func:`mixnorm.mixture.seeding.seed`.
        n_init_trials (int): Candidates per centre in seeding, of which the
            best is kept; ``2 + floor(ln K)`` if ``None``.
        kmeans_iter (int): Number of Lloyd's iterations.
        max_iter (int): Most iterations of EM, at least 1.
        tol (float): EM stops when the lower bound gains less; 0 runs all
            ``max_iter`` iterations.
        reg_covar (float): Added to variances, in squared units of ``X``.
        weights_init (array): Weights ``(K,)`` to start from.
        means_init (array): Means ``(K, C)`` to start from.
        covariances_init (array): Variances ``(K, C)`` to start from.  What
            is not given comes from K-means.
        sample_ratio (float): Share of the points that a fit uses, drawn at
            random, in (0, 1].  A share of less than 1 is held in memory.
        min_weight (float): Components that end with a smaller weight are
            dropped: their weight becomes 0.
        random_state (None, int, numpy.random.RandomState or \
numpy.random.Generator): Source of the random numbers.
        n_init (int): Number of seedings; the fit of the greatest lower bound
            is kept.
        warm_start (bool): If ``True``, a fit starts EM from the mixture of
            the last one, if there is one, whatever ``init`` and ``n_init``.
        verbose (int or bool): If not 0, a line tells of the seeding and of
            every iteration.

    Attributes:
        weights_ (array): ``(K,)``.
        means_ (array): ``(K, C)``.
        covariances_ (array): ``(K, C)``, the diagonals.
        n_iter_ (int): Iterations of EM that were run.
        converged_ (bool): Whether ``tol`` was reached.
        lower_bound_ (float): Mean log density of the fitted points, as of
            the last E-step.
        n_effective_ (int): Components that were kept.
        n_features_in_ (int): ``C``.
        feature_names_in_ (array): Names of the columns of ``X``, where they
            have names.

    Source: M. M. Kalayeh and M. Shah, *Training Faster by Separating Modes
    of Variation in Batch-normalized Models* (2018).

    .. admonition:: Example

        >>> import numpy as np
        >>> from mixnorm.mixture import DiagonalGaussianMixture
        >>> X = np.array([[0., 1.], [.2, 1.1], [5., 4.], [5.1, 4.2]])
        >>> gm = DiagonalGaussianMixture(2, random_state=0).fit(X)
        >>> bool(gm.predict(X)[0] == gm.predict(X)[1])
        True

    """

    def __init__(self, n_components=3, *, init='k-means++',
                 n_init_trials=None, kmeans_iter=10, max_iter=100, tol=1e-3,
                 reg_covar=1e-6, weights_init=None, means_init=None,
                 covariances_init=None, sample_ratio=1., min_weight=0.,
                 random_state=None, n_init=1, warm_start=False, verbose=0):
        self.n_components = n_components
        self.init = init
        self.n_init_trials = n_init_trials
        self.kmeans_iter = kmeans_iter
        self.max_iter = max_iter
        self.tol = tol
        self.reg_covar = reg_covar
        self.weights_init = weights_init
        self.means_init = means_init
        self.covariances_init = covariances_init
        self.sample_ratio = sample_ratio
        self.min_weight = min_weight
        self.random_state = random_state
        self.n_init = n_init
        self.warm_start = warm_start
        self.verbose = verbose

    def _check(self):
        """Raises ValueError if a parameter is out of its range."""
        check_integer('n_components', self.n_components, 1)
        check_choice('init', self.init, SEEDINGS + ('random',))
        if self.n_init_trials is not None:
            check_integer('n_init_trials', self.n_init_trials, 1)
        check_integer('kmeans_iter', self.kmeans_iter, 0)
        check_integer('max_iter', self.max_iter, 1)
        check_real('tol', self.tol, 0, math.inf, closed_high=False)
        check_real('reg_covar', self.reg_covar, 0, math.inf, closed_high=False)
        check_real('sample_ratio', self.sample_ratio, 0, 1, closed_low=False)
        check_real('min_weight', self.min_weight, 0, 1, closed_high=False)
        check_random_state(self.random_state)
        check_integer('n_init', self.n_init, 1)
        check_flag('warm_start', self.warm_start)

    @_where_points_are
    def fit(self, X, y=None, sample_weight=None):
        """Fits the mixture to points.

        Args:
            X (array, dask.array.Array or iterable of arrays): Points
                ``(M, C)`` or ``(N, C, *S)``.
            y: Ignored.
            sample_weight (array or None): Weights ``(M,)`` or ``(N, *S)``, at
                least 0; 1 if ``None``.  A point of weight 2 counts as two
                points.

        Returns:
            DiagonalGaussianMixture: ``self``.

        Raises:
            ValueError: If ``X`` does not hold finite real points, a
                parameter is out of its range, a starting value or weights do
                not fit ``X``, or no finite mixture does.
                The mixture then stays as it was.

        Warns:
            ConvergenceWarning: If ``tol`` is positive and was not reached in
                ``max_iter`` iterations.

        """
        fitted = copy.copy(self)
        fitted._fit(X, sample_weight)
        vars(self).clear()
        vars(self).update(vars(fitted))
        return self

    def _fit(self, X, sample_weight):
        self._check()
        blocks = as_blocks(self._validated(X, reset=True), sample_weight)
        self._check_n_dims(blocks.n_dims, reset=True)
        start = self._start(blocks)
        is_seeded = any(value is None for value in start)
        generator = as_generator(self.random_state)
        report = self._reporter()
        blocks = chosen_points(blocks, self.sample_ratio, generator)
        found = None
        for i in range(self.n_init if is_seeded else 1):
            new = fit_mixture(
                blocks, generator, n_components=self.n_components,
                init=self.init, n_init_trials=self.n_init_trials,
                kmeans_iter=self.kmeans_iter, max_iter=self.max_iter,
                tol=self.tol, reg_covar=self.reg_covar,
                min_weight=self.min_weight, start=start, report=report)
            # Of those that differ by rounding the first is kept.  What is not
            # a number is no improvement.
            if found is None or float(new.lower_bound - found.lower_bound) > (
                    1e-6 * abs(float(found.lower_bound))):
                found = new
        if not bool(are_finite(found.parameters)):
            raise ValueError(
                f'reg_covar is {self.reg_covar!r}, and a component collapsed '
                f'or X is too large for its dtype, {blocks.dtype}: scale X or '
                'raise reg_covar')
        self.weights_, self.means_, self.covariances_ = found.parameters
        self.n_iter_ = found.n_iter
        self.converged_ = found.converged
        self.lower_bound_ = float(found.lower_bound)
        self.n_effective_ = int((self.weights_ > 0).sum())
        if self.tol > 0 and not self.converged_:
            # Of who called fit, through its wrapper.
            warnings.warn(
                f'EM did not converge: after max_iter={self.max_iter} '
                f'iterations the lower bound gained tol={self.tol:g} or more',
                ConvergenceWarning, stacklevel=4)

    def _reporter(self):
        """Returns what tells users of a fit, ``None`` if nothing does."""
        if not self.verbose:
            return None
        start = time.monotonic()

        def report(text):
            print(f'{time.monotonic() - start:8.1f} s  {text}', flush=True)

        return report

    def _validated(self, X, reset):
        """Returns points, checked unless they come in blocks.

        Args:
            X (array-like, dask.array.Array or iterable of arrays): Points.
            reset (bool): Whether the number and names of their dimensions are
                to be kept, in place of being compared.

        """
        if comes_in_blocks(X):
            if reset:
                vars(self).pop('feature_names_in_', None)
            return X
        if get_array_module(X) is numpy:
            return check_points(_scikit_learns_array(self, X, reset))
        X = check_points(X)
        self._check_n_dims(X.shape[1], reset)
        return X

    def _check_n_dims(self, n_features, reset):
        if reset:
            self.n_features_in_ = n_features
        elif n_features != self.n_features_in_:
            # scikit-learn's words.
            raise ValueError(
                f'X has {n_features} features, but {type(self).__name__} is '
                f'expecting {self.n_features_in_} features as input')

    def _start(self, blocks):
        """Returns what EM starts from, ``None`` for what is to be found."""
        k, n_dims = self.n_components, blocks.n_dims
        if self.warm_start and hasattr(self, 'weights_'):
            if self.means_.shape != (k, n_dims):
                raise ValueError(
                    f'n_components is {k}, and X has {n_dims} features: with '
                    'warm_start they must be those of the last fit, '
                    f'{self.means_.shape[0]} and {self.means_.shape[1]}')
            return Parameters(*(
                blocks.xp.asarray(z, dtype=blocks.dtype) for z in (
                    self.weights_, self.means_, self.covariances_)))
        return Parameters(
            self._starting_value('weights_init', (k,), blocks),
            self._starting_value('means_init', (k, n_dims), blocks),
            self._starting_value('covariances_init', (k, n_dims), blocks))

    def _starting_value(self, name, shape, blocks):
        xp, dtype = blocks.xp, blocks.dtype
        value = getattr(self, name)
        if value is None:
            return None
        try:
            value = xp.asarray(value)
        except ValueError as error:
            raise ValueError(f'{name} is no array: {error}')
        if value.dtype.kind not in 'fiu':
            raise ValueError(f'{name} has dtype {value.dtype}: it must be '
                             'real')
        if value.shape != shape:
            raise ValueError(f'{name} has shape {value.shape}: it must be '
                             f'{shape}')
        with numpy.errstate(over='ignore', under='ignore'):
            value = value.astype(dtype, copy=False)
        if not bool(xp.isfinite(value).all()):
            raise ValueError(f'{name} holds values that are not finite, or '
                             f'beyond the dtype of X, {dtype}')
        if name == 'weights_init' and (
                bool((value < 0).any()) or abs(
                    float(value.sum(dtype=numpy.float64)) - 1) > 1e-6):
            raise ValueError(f'weights_init is {value}: its entries must not '
                             'be negative and must sum to 1')
        if name == 'covariances_init' and not bool((value > 0).all()):
            raise ValueError('covariances_init holds values that are not '
                             f'positive in the dtype of X, {dtype}')
        return value

    def fit_predict(self, X, y=None, sample_weight=None):
        """Fits the mixture and finds each point's component.

        Args:
            X (array, dask.array.Array or iterable of arrays): See
                :meth:`fit`.
            y: Ignored.
            sample_weight (array or None): See :meth:`fit`.

        Returns:
            array, dask.array.Array or generator: See :meth:`predict`.

        """
        return self.fit(X, sample_weight=sample_weight).predict(X)

    def sample(self, n_samples=1):
        """Draws points from the mixture.

        Args:
            n_samples (int): How many.

        Returns:
            tuple of arrays: Points ``(n_samples, C)``, component after
            component, and the numbers ``(n_samples,)`` of their components.

        """
        validation.check_is_fitted(self, 'weights_')
        check_integer('n_samples', n_samples, 1)
        generator = as_generator(self.random_state)
        xp = get_array_module(self.means_)
        shares = numpy.array(self.weights_.tolist())
        with device_of(self.means_):
            labels = xp.asarray(numpy.repeat(
                numpy.arange(len(shares)),
                generator.multinomial(n_samples, shares / shares.sum())))
            normal = xp.asarray(
                generator.standard_normal((n_samples, self.means_.shape[1])),
                dtype=self.means_.dtype)
            return (self.means_[labels]
                    + xp.sqrt(self.covariances_)[labels] * normal, labels)

    @_where_points_are
    def predict_proba(self, X):
        """Computes the posterior ``tau_k(x)``, eq. (31).

        Args:
            X (array, dask.array.Array or iterable of arrays): Points
                ``(M, C)`` or ``(N, C, *S)``.

        Returns:
            array, dask.array.Array or generator: ``(M, K)`` or
            ``(N, K, *S)``, summing to 1 over ``K``.

        """
        validation.check_is_fitted(self, 'weights_')
        if comes_in_blocks(X):
            return self._by_blocks('predict_proba', X, len(self.weights_))
        X = self._validated(X, reset=False)
        tau, _ = self._posterior(stack(X))
        return unstack(tau, X.shape)

    @_where_points_are
    def predict(self, X):
        """Finds the component of greatest posterior.

        Args:
            X (array, dask.array.Array or iterable of arrays): Points
                ``(M, C)`` or ``(N, C, *S)``.

        Returns:
            array, dask.array.Array or generator: Integers ``(M,)`` or
            ``(N, *S)``.

        """
        validation.check_is_fitted(self, 'weights_')
        if comes_in_blocks(X):
            return self._by_blocks('predict', X, dtype=numpy.int64)
        return self.predict_proba(X).argmax(axis=1)

    @_where_points_are
    def score_samples(self, X):
        """Computes the log density of every point, in nats.

        Args:
            X (array, dask.array.Array or iterable of arrays): Points
                ``(M, C)`` or ``(N, C, *S)``.

        Returns:
            array, dask.array.Array or generator: ``(M,)`` or ``(N, *S)``.

        """
        validation.check_is_fitted(self, 'weights_')
        if comes_in_blocks(X):
            return self._by_blocks('score_samples', X)
        X = self._validated(X, reset=False)
        _, log_density = self._posterior(stack(X))
        return unstack(log_density[:, None], X.shape)[:, 0]

    def _posterior(self, x):
        """Returns posterior ``(B, K, L)`` and log density ``(B, L)``."""
        return _posterior(x, Parameters(
            self.weights_, self.means_, self.covariances_))

    def _by_blocks(self, name, X, n_columns=None, dtype=None):
        """Applies one of the methods above to points that come in blocks.

        Args:
            name (str): Its name.
            X (dask.array.Array or iterable of arrays): The points.
            n_columns (int or None): Length of the result's axis 1; ``None``
                if it has none.
            dtype (numpy.dtype or None): Of the result; the working dtype if
                ``None``.

        Returns:
            dask.array.Array or generator: Of what the method returns.

        """
        # What comes later is to be by the mixture as it is now.
        method = getattr(copy.copy(self), name)
        if not is_dask(X):
            return (method(block) for block in X)
        X = whole_points(X)
        self._check_n_dims(X.shape[1], reset=False)
        axes = {'drop_axis': 1} if n_columns is None else {
            'chunks': X.chunks[:1] + ((n_columns,),) + X.chunks[2:]}
        dtype = working_dtype(X.dtype) if dtype is None else dtype
        return X.map_blocks(
            functools.partial(
                _of_chunk, method=method, n_columns=n_columns, dtype=dtype),
            token=name, dtype=dtype, meta=get_array_module(X._meta).empty(
                (0,) * (X.ndim - (n_columns is None)), dtype), **axes)

    def score(self, X, y=None, sample_weight=None):
        """Computes the mean log density of points, in nats.

        Args:
            X (array, dask.array.Array or iterable of arrays): Points
                ``(M, C)`` or ``(N, C, *S)``.
            y: Ignored.
            sample_weight (array or None): Weights, as :meth:`fit` takes them.

        Returns:
            float: The mean over all points.

        """
        log_density, blocks = self._log_density(X, sample_weight)
        return log_density / float(blocks.total_weight)

    def bic(self, X):
        """Computes the Bayesian information criterion; lower is better.

        Args:
            X (array, dask.array.Array or iterable of arrays): Points
                ``(M, C)`` or ``(N, C, *S)``.

        Returns:
            float: ``-2 log p(X) + n_parameters log M``.

        """
        log_density, blocks = self._log_density(X)
        return (-2 * log_density
                + self._n_parameters() * math.log(blocks.n_points))

    def aic(self, X):
        """Computes the Akaike information criterion; lower is better.

        Args:
            X (array, dask.array.Array or iterable of arrays): Points
                ``(M, C)`` or ``(N, C, *S)``.

        Returns:
            float: ``-2 log p(X) + 2 n_parameters``.

        """
        return -2 * self._log_density(X)[0] + 2 * self._n_parameters()

    @_where_points_are
    def _log_density(self, X, sample_weight=None):
        """Returns the log density of all points together, and the points."""
        validation.check_is_fitted(self, 'weights_')
        blocks = as_blocks(self._validated(X, reset=False), sample_weight)
        self._check_n_dims(blocks.n_dims, reset=False)
        parameters = Parameters(self.weights_, self.means_, self.covariances_)
        return float(blocks.sum(functools.partial(
            _sum_of_log_densities, parameters=parameters))), blocks

    def _n_parameters(self):
        return self.n_effective_ * (2 * self.n_features_in_ + 1) - 1


def _of_chunk(x, method, n_columns, dtype):
    """Applies a method to a chunk, which may have no points."""
    if len(x):
        return method(x)
    columns = () if n_columns is None else (n_columns,)
    return get_array_module(x).empty((0,) + columns + x.shape[2:], dtype)


def _posterior(x, parameters):
    tau, log_density = compute.arithmetic(x).mixture.posterior(
        x, *(z[None] for z in parameters))
    return tau, log_density[0]


def _sum_of_log_densities(x, sample_weight, parameters):
    _, log_density = _posterior(x, parameters)
    if sample_weight is not None:
        # What cannot be is allowed to points that do not count.
        log_density = get_array_module(x).where(
            sample_weight > 0, sample_weight * log_density, 0)
    return log_density.sum(dtype=numpy.float64)


def _scikit_learns_array(estimator, X, reset):
    """Makes an array of what users call points, as scikit-learn does.

    Args:
        estimator (DiagonalGaussianMixture): What knows names and number of
            features, or is to.
        X (array-like): Points.
        reset (bool): Whether it is to.

    Returns:
        numpy.ndarray: Points of a floating dtype.

    """
    options = {'dtype': [numpy.float64, numpy.float32, numpy.float16],
               'allow_nd': True}
    # Until version 1.5 a method, with another name for one of its arguments.
    if not hasattr(validation, 'validate_data'):
        return estimator._validate_data(
            X, reset=reset, force_all_finite=False, **options)
    return validation.validate_data(
        estimator, X, reset=reset, ensure_all_finite=False, **options)
