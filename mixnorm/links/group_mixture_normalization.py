import math

import chainer
import numpy

from mixnorm.checks import check_groups, check_integer
from mixnorm.compute.sets import group_channels
from mixnorm.functions import group_mixture_normalization
from mixnorm.links.fitted_normalization import FittedNormalization
from mixnorm.mixture.set_fitting import fit_sets


class GroupMixtureNormalization(FittedNormalization):

    """Group mixture normalization layer.

    It is to :class:`~mixnorm.links.MixtureNormalization` what
    :class:`chainer.links.GroupNormalization` is to batch normalization: a
    mixture is fitted to every group of channels of every sample by itself.
    Its points are the scalars there; each component standardizes them by its
    own mean and variance, and the results are added by posterior, see
    :func:`mixnorm.functions.group_mixture_normalization`.  One group is the
    layer variant, as many groups as channels the instance variant.  With one
    component this is group normalization.

    A fit draws a share of the points at random, seeds ``n_components``
    centres by K-means++, runs ``n_iter`` iterations, the first half of them
    Lloyd's and the others EM's, and drops the components of small weight.
    It measures distances in units of the group's standard deviation.
    Components are ordered by their means, the lowest first.

    Test mode (``chainer.config.train`` false) does the same as training, with
    draws that are always the same: a sample's output depends neither on the
    others nor on how far training has come.

    Args:
        groups (int): Number of groups ``G``, a divisor of the number of
            channels.
        size (int, tuple of ints or None): Size or shape of the channel
            dimensions.  If ``None``, the first mini-batch decides.
        n_components (int): Number of components ``K``.
        n_iter (int): Iterations of a fit, K-means and EM together, at least
            1.
        sample_ratio (float): Share of a group's points that a fit draws, in
            (0, 1], but ten for each component at least.
        min_weight (float): Components of smaller weight are dropped, in
            [0, 1).
        activation (callable or None): Non-linearity inside the sum over
            components, a function of variables.  ``None``: it follows the
            layer, as usual.
        affine (str): Where gamma and beta act.  ``'shared'``: on the sum over
            components, as in batch normalization; with an activation, as
            ``'inside'``.  ``'inside'``: on each component's standardized
            input, so that beta counts ``sum_k tau_k / sqrt(lambda_k)`` times,
            as (37) can be read.
            ``'component'``: there, and each component has its own, of shape
            ``(K,) + size``.
        seed (int or None): Seed of the random numbers; drawn from
            ``numpy.random`` if ``None``.
        eps (float): Added to variances.
        dtype (numpy.dtype): Type of gamma and beta; that of
            ``chainer.config.dtype`` if ``None`` (float32 for mixed16).
        use_gamma (bool): If ``True``, scale by the parameter gamma.
        use_beta (bool): If ``True``, shift by the parameter beta.
        initial_gamma: Initializer of gamma; 1 if ``None``.
        initial_beta: Initializer of beta; 0 if ``None``.
        axis (int, tuple of ints or None): Axes of samples (the first) and of
            positions, in ascending order.  ``None``: all axes but those of
            ``size`` after the first.
        order (int): 2 adds the Fisher vector of second order,
            ``delta * sum_k tau_k / sqrt(2 lambda_k) (xhat_k^2 - 1)``,
            weighed by the parameter delta, which is 0 at first; it takes
            memory ``n_components`` times the input's.  1: it is left out.
        kmeans_iter (int or None): How many of the ``n_iter`` iterations are
            Lloyd's, the others EM's; ``n_iter // 2`` if ``None``.
        n_init_trials (int or None): Candidates per centre in K-means++;
            ``2 + floor(ln K)`` if ``None``.

    Attributes:
        gamma (~chainer.Parameter): Scale, or ``None``.
        beta (~chainer.Parameter): Shift, or ``None``.
        delta (~chainer.Parameter): Weight of second order, of gamma's shape,
            or ``None``.

    Raises:
        ValueError: If an argument is out of its range, or ``groups`` does not
            divide the number of channels.

    Source: M. M. Kalayeh and M. Shah, *Training Faster by Separating Modes
    of Variation in Batch-normalized Models* (2018), section 4, on other sets
    of points than the mini-batch.

    .. admonition:: Example

        >>> import numpy as np
        >>> import mixnorm
        >>> norm = mixnorm.links.GroupMixtureNormalization(4, 16)
        >>> x = np.random.randn(8, 16, 4, 4).astype('f')
        >>> norm(x).shape
        (8, 16, 4, 4)

    """

    def __init__(self, groups, size=None, n_components=3, n_iter=2,
                 sample_ratio=.25, min_weight=.01, activation=None,
                 affine='shared', seed=None, eps=2e-5, dtype=None,
                 use_gamma=True, use_beta=True, initial_gamma=None,
                 initial_beta=None, axis=None, order=1, kmeans_iter=None,
                 n_init_trials=None):
        super().__init__(
            size, n_components, n_iter, sample_ratio, min_weight, activation,
            affine, seed, eps, dtype, use_gamma, use_beta, initial_gamma,
            initial_beta, axis, order, kmeans_iter, n_init_trials)
        check_integer('groups', groups, 1)
        self.groups = groups
        if self.size is not None:
            self._initialize(self.size)

    def _check_size(self, size):
        check_groups(self.groups, math.prod(size))

    @property
    def printable_specs(self):
        yield 'groups', self.groups
        yield from super().printable_specs

    @property
    def n_effective(self):
        """Mean number of components kept in the last training mini-batch.

        A float, the mean of all mixtures.  ``None`` before the first
        mini-batch.  On a GPU, reading it waits.

        """
        return None if self._kept is None else float(self._kept)

    def forward(self, x):
        """Normalizes samples.

        Args:
            x (:class:`~chainer.Variable` or array): Input of a floating
                dtype.  By default ``(N,) + size + S``, where ``S`` is any
                spatial shape.

        Returns:
            ~chainer.Variable: Output of ``x``'s shape and dtype.

        Raises:
            chainer.utils.type_check.InvalidType: If ``x`` does not fit.
            ValueError: If ``chainer.config.debug`` is true and ``x`` holds
                values that are not finite, or if the size was not known yet
                and ``groups`` does not divide it.

        """
        points, restore = self._points(x)
        train = chainer.config.train
        # In test mode the draws are always the same.
        number = self._state_of_fit(points.array)[0] if train else 0
        mixtures = fit_sets(
            group_channels(points.array, self.groups),
            numpy.random.default_rng((self.seed, number)),
            **self._fit_options)
        gamma, beta, delta = self._parameters()
        y = group_mixture_normalization(
            points, self.groups, gamma, beta, *mixtures, self.eps,
            self.activation, delta)
        if train:
            self._count_fit(
                points.array, None,
                (mixtures.weights > 0).sum(axis=2).mean())
        return restore(y)
