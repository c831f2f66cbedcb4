import math

import chainer
from chainer import functions
from chainer import initializers

from mixnorm.checks import check_flag, check_integer
from mixnorm.links.affine_normalization import AffineNormalization


class GatedNormalization(AffineNormalization):

    """What the links of mode normalization share: gates.

    A subclass says what shape ``gate_W`` has.  Its arguments are those of
    :class:`~mixnorm.links.ModeGroupNormalization`.

    """

    def __init__(self, size, n_modes, eps, dtype, use_gamma, use_beta,
                 initial_gamma, initial_beta, axis, mode_affine):
        super().__init__(
            size, eps, dtype, use_gamma, use_beta, initial_gamma,
            initial_beta, axis)
        check_integer('n_modes', n_modes, 1)
        check_flag('mode_affine', mode_affine)
        self.n_modes = n_modes
        self.mode_affine = mode_affine
        # Of the last batch.
        self.gates = None
        self._training_gates = None
        with self.init_scope():
            self.gate_W = self._make_parameter(
                'gate_W', None, _GateInitializer(n_modes))
            self.gate_b = self._make_parameter('gate_b', None, 0)

    def _gate_shape(self, size):
        """Returns the shape of ``gate_W``."""
        raise NotImplementedError

    def _shape(self, name, size):
        if name == 'gate_W':
            return self._gate_shape(size)
        if name == 'gate_b':
            return self.n_modes,
        if self.mode_affine and name in self._size_shaped:
            return (self.n_modes,) + size
        return super()._shape(name, size)

    def _size_of(self, name, shape):
        n_leading = len(self._shape(name, ()))
        # Of a value that the size is no part of, nothing is left.
        return shape[n_leading:] or None

    @property
    def printable_specs(self):
        for key, value in super().printable_specs:
            yield key, value
            if key == 'size':
                yield 'n_modes', self.n_modes
        yield 'mode_affine', self.mode_affine

    def _apply(self, node, x):
        """Applies a function node to the input and the parameters."""
        gate_W = functions.reshape(
            self.gate_W, self._gate_shape((math.prod(self.size),)))
        y, = node.apply((x, gate_W, self.gate_b) + self._scale_and_shift())
        self.gates = node.gates.astype(self._highprec_dtype)
        if chainer.config.train:
            self._training_gates = self.gates
        return y

    @property
    def mean_gates(self):
        """Mean gates of the last training mini-batch, ``(K,)``.

        The mean over samples and, where channels have gates, over these, too:
        each mode's share of the mini-batch.  ``None`` before the first one.
        Like :attr:`gates`, it is not saved with the link.

        """
        if self._training_gates is None:
            return None
        gates = self._training_gates
        return gates.mean(axis=tuple(range(gates.ndim - 1)))


class _GateInitializer(initializers.Normal):

    """``1 / K`` and a little noise: modes start alike, but not the same."""

    def __init__(self, n_modes):
        super().__init__(scale=.01)
        self._mean = 1 / n_modes

    def __call__(self, array):
        super().__call__(array)
        array += array.dtype.type(self._mean)
