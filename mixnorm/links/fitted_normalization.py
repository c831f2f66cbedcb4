import chainer
from chainer import functions
import numpy

from mixnorm import compute
from mixnorm.checks import (
    check_activation, check_choice, check_integer, check_real)
from mixnorm.compute.layout import stack
from mixnorm.links.affine_normalization import AffineNormalization
from mixnorm.links.recomputation import Recomputation


class FittedNormalization(AffineNormalization):

    """What the links of mixture normalization share: options of a fit.

    Its arguments are those of
    :class:`~mixnorm.links.GroupMixtureNormalization`, but for the groups.

    """

    delta = None

    _size_shaped = 'gamma', 'beta', 'delta'

    def __init__(self, size, n_components, n_iter, sample_ratio, min_weight,
                 activation, affine, seed, eps, dtype, use_gamma, use_beta,
                 initial_gamma, initial_beta, axis, order, kmeans_iter,
                 n_init_trials):
        super().__init__(
            size, eps, dtype, use_gamma, use_beta, initial_gamma,
            initial_beta, axis)
        check_integer('n_components', n_components, 1)
        check_integer('n_iter', n_iter, 1)
        check_real('sample_ratio', sample_ratio, 0, 1, closed_low=False)
        check_real('min_weight', min_weight, 0, 1, closed_high=False)
        check_activation(activation)
        check_choice('affine', affine, ('shared', 'inside', 'component'))
        check_choice('order', order, (1, 2))
        if kmeans_iter is not None:
            check_integer('kmeans_iter', kmeans_iter, 0, n_iter)
        if n_init_trials is not None:
            check_integer('n_init_trials', n_init_trials, 1)
        if seed is None:
            seed = int(numpy.random.randint(1 << 31))
        check_integer('seed', seed, 0)
        self.n_components = n_components
        self.n_iter = n_iter
        self.sample_ratio = sample_ratio
        self.min_weight = min_weight
        self.activation = activation
        self.affine = affine
        self.order = order
        self.kmeans_iter = n_iter // 2 if kmeans_iter is None else kmeans_iter
        self.n_init_trials = n_init_trials
        # The random numbers of a fit are a function of these two.
        self.seed = seed
        self.n_fits = 0
        self.register_persistent('seed')
        self.register_persistent('n_fits')
        self._recomputation = Recomputation()
        self._kept = None
        if order == 2:
            with self.init_scope():
                self.delta = self._make_parameter('delta', None, 0)

    @property
    def _fit_options(self):
        return {'n_components': self.n_components, 'n_iter': self.n_iter,
                'kmeans_iter': self.kmeans_iter,
                'n_init_trials': self.n_init_trials,
                'sample_ratio': self.sample_ratio,
                'min_weight': self.min_weight}

    def _shape(self, name, size):
        if self.affine == 'component' and name in self._size_shaped:
            return (self.n_components,) + size
        return super()._shape(name, size)

    def _size_of(self, name, shape):
        # A component's own has one more axis than the size, at least 1.
        return shape[len(shape) > 1:] if self.affine == 'component' else shape

    @property
    def printable_specs(self):
        for key, value in super().printable_specs:
            yield key, value
            if key == 'size':
                yield from self._fit_options.items()
                yield 'activation', getattr(
                    self.activation, '__name__', self.activation)
                yield 'affine', self.affine
                yield 'seed', self.seed
        yield 'order', self.order

    def _check_input(self, x):
        super()._check_input(x)
        if not chainer.is_debug():
            return
        arithmetic = compute.arithmetic(x.array)
        n_bad = int(arithmetic.sample.count_not_finite(stack(x.array)))
        if n_bad:
            raise ValueError(
                f'the input of {self._title} holds {n_bad} of {x.size} values '
                'that are not finite')

    def _state_of_fit(self, x, start=None):
        """Returns what the fit of a training pass takes from the link.

        A recomputation has what the pass had.

        Args:
            x (array): Input of the pass.
            start: What the fit of the next mini-batch starts from.

        Returns:
            tuple: The number of the fit, and its start.

        """
        if chainer.config.in_recomputing:
            return self._recomputation.recall(x)
        return self.n_fits, start

    def _count_fit(self, x, start, kept):
        """Counts a training pass, of which a recomputation is no other.

        Args:
            x (array): Input of the pass.
            start: What its fit started from.
            kept (array): What tells how many components were kept.

        """
        if not chainer.config.in_recomputing:
            self._recomputation.remember(x, (self.n_fits, start))
            self.n_fits += 1
            self._kept = kept

    def _parameters(self):
        """Returns gamma, beta and delta, ``(C,)`` or ``(K, C)`` each.

        delta is ``None`` without second order.

        """
        gamma, beta = self._scale_and_shift()
        delta = self.delta
        if delta is not None:
            delta = functions.reshape(delta, gamma.shape)
        if self.affine == 'inside':
            # Every component's are the same.
            gamma, beta, delta = (
                None if z is None else functions.broadcast_to(
                    z, (self.n_components,) + z.shape)
                for z in (gamma, beta, delta))
        return gamma, beta, delta
