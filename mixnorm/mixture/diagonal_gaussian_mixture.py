"""The estimator, in scikit-learn's manner."""
import math

import numpy

from mixnorm import compute
from mixnorm.checks import (
    check_choice, check_integer, check_points, check_random_state, check_real)
from mixnorm.compute.layout import (
    get_array_module, stack, unstack, working_dtype)
from mixnorm.compute.parameters import are_finite, Parameters
from mixnorm.mixture.fitting import fit_mixture
from mixnorm.mixture.randomness import as_generator


class NotFittedError(ValueError, AttributeError):

    """Raised when a mixture is asked about points before it was fitted."""


class DiagonalGaussianMixture:

    """Mixture of Gaussians with diagonal covariances, fitted by EM.

    The density is ``p(x) = sum_k lambda_k N(x; m_k, diag(s_k^2))``, eqs.
    (26) and (27) of Kalayeh & Shah.  A fit seeds by K-means++, runs
    ``kmeans_iter`` of Lloyd's iterations and then EM until the lower bound
    gains less than ``tol`` or ``max_iter`` iterations are done.

    NumPy arrays in, NumPy arrays out; CuPy arrays in, CuPy arrays out, and
    with ``tol=0`` a fit never waits for the GPU.  The random numbers are
    drawn on the host: the same seed gives the same fit on both.

    Beside matrices ``(M, C)`` it takes activations ``(N, C, *S)``, whose
    points are the channel vectors at every position; what it returns per
    point then has shape ``(N, K, *S)`` or ``(N, *S)``.

    Args:
        n_components (int): Number of components ``K``.
        init (str): ``'k-means++'``, or ``'random'`` for points drawn at
            random.
        n_init_trials (int): Candidates per centre in K-means++;
            ``2 + floor(ln K)`` if ``None``.
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
            random, in (0, 1].
        min_weight (float): Components that end with a smaller weight are
            dropped: their weight becomes 0.
        random_state (None, int, numpy.random.RandomState or \
numpy.random.Generator): Source of the random numbers.

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

    Raises:
        ValueError: If an argument is out of its range.

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
                 random_state=None):
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
        self._check()

    def _check(self):
        """Raises ValueError if a parameter is out of its range."""
        check_integer('n_components', self.n_components, 1)
        check_choice('init', self.init, ('k-means++', 'random'))
        if self.n_init_trials is not None:
            check_integer('n_init_trials', self.n_init_trials, 1)
        check_integer('kmeans_iter', self.kmeans_iter, 0)
        check_integer('max_iter', self.max_iter, 1)
        check_real('tol', self.tol, 0, math.inf, closed_high=False)
        check_real('reg_covar', self.reg_covar, 0, math.inf, closed_high=False)
        check_real('sample_ratio', self.sample_ratio, 0, 1, closed_low=False)
        check_real('min_weight', self.min_weight, 0, 1, closed_high=False)
        check_random_state(self.random_state)

    def fit(self, X, y=None):
        """Fits the mixture to points.

        Args:
            X (array): Points ``(M, C)`` or ``(N, C, *S)``.
            y: Ignored.

        Returns:
            DiagonalGaussianMixture: ``self``.

        Raises:
            ValueError: If ``X`` is not an array of finite real points, a
                parameter is out of its range, a starting value does not fit
                ``X``, or no finite mixture does.
                The mixture then stays as it was.

        """
        self._check()  # They may have been set since.
        x = stack(check_points(X))
        found = fit_mixture(
            x, as_generator(self.random_state),
            n_components=self.n_components, init=self.init,
            n_init_trials=self.n_init_trials, kmeans_iter=self.kmeans_iter,
            max_iter=self.max_iter, tol=self.tol, reg_covar=self.reg_covar,
            sample_ratio=self.sample_ratio, min_weight=self.min_weight,
            start=self._start(x))
        if not bool(are_finite(found.parameters)):
            raise ValueError(
                f'reg_covar is {self.reg_covar!r}, and a component collapsed '
                f'or X is too large for its dtype, {x.dtype}: scale X or '
                'raise reg_covar')
        self.weights_, self.means_, self.covariances_ = found.parameters
        self.n_iter_ = found.n_iter
        self.converged_ = found.converged
        self.lower_bound_ = float(found.lower_bound)
        self.n_effective_ = int((self.weights_ > 0).sum())
        self.n_features_in_ = x.shape[1]
        return self

    def _start(self, x):
        xp = get_array_module(x)
        dtype = working_dtype(x.dtype)
        k, n_dims = self.n_components, x.shape[1]
        return Parameters(
            self._starting_value('weights_init', (k,), xp, dtype),
            self._starting_value('means_init', (k, n_dims), xp, dtype),
            self._starting_value('covariances_init', (k, n_dims), xp, dtype))

    def _starting_value(self, name, shape, xp, dtype):
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

    def _posterior(self, X):
        if not hasattr(self, 'weights_'):
            raise NotFittedError(
                'this DiagonalGaussianMixture is not fitted yet: call fit '
                'first')
        X = check_points(X)
        if X.shape[1] != self.n_features_in_:
            raise ValueError(f'X has {X.shape[1]} dimensions: the mixture was '
                             f'fitted to {self.n_features_in_}')
        x = stack(X)
        tau, log_density = compute.arithmetic(x).mixture.posterior(
            x, self.weights_[None], self.means_[None],
            self.covariances_[None])
        return X.shape, (tau, log_density[0])

    def predict_proba(self, X):
        """Computes the posterior ``tau_k(x)``, eq. (31).

        Args:
            X (array): Points ``(M, C)`` or ``(N, C, *S)``.

        Returns:
            array: ``(M, K)`` or ``(N, K, *S)``, summing to 1 over ``K``.

        """
        shape, (tau, _) = self._posterior(X)
        return unstack(tau, shape)

    def predict(self, X):
        """Finds the component of greatest posterior.

        Args:
            X (array): Points ``(M, C)`` or ``(N, C, *S)``.

        Returns:
            array: Integers ``(M,)`` or ``(N, *S)``.

        """
        return self.predict_proba(X).argmax(axis=1)

    def score_samples(self, X):
        """Computes the log density of every point, in nats.

        Args:
            X (array): Points ``(M, C)`` or ``(N, C, *S)``.

        Returns:
            array: ``(M,)`` or ``(N, *S)``.

        """
        shape, (_, log_density) = self._posterior(X)
        return unstack(log_density[:, None], shape)[:, 0]

    def score(self, X, y=None):
        """Computes the mean log density of points, in nats.

        Args:
            X (array): Points ``(M, C)`` or ``(N, C, *S)``.
            y: Ignored.

        Returns:
            float: The mean over all points.

        """
        return float(self.score_samples(X).mean(dtype=numpy.float64))

    def bic(self, X):
        """Computes the Bayesian information criterion; lower is better.

        Args:
            X (array): Points ``(M, C)`` or ``(N, C, *S)``.

        Returns:
            float: ``-2 log p(X) + n_parameters log M``.

        """
        log_density = self.score_samples(X)
        return (-2 * float(log_density.sum(dtype=numpy.float64))
                + self._n_parameters() * math.log(log_density.size))

    def aic(self, X):
        """Computes the Akaike information criterion; lower is better.

        Args:
            X (array): Points ``(M, C)`` or ``(N, C, *S)``.

        Returns:
            float: ``-2 log p(X) + 2 n_parameters``.

        """
        return (-2 * float(self.score_samples(X).sum(dtype=numpy.float64))
                + 2 * self._n_parameters())

    def _n_parameters(self):
        return self.n_effective_ * (2 * self.n_features_in_ + 1) - 1
