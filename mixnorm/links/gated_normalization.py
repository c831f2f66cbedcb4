import math

import numpy

import chainer
from chainer import functions
from chainer import initializers
from chainer import link
from chainer import variable

from mixnorm.links import axes
from mixnorm.mixture.validation import check_integer, check_real


class GatedNormalization(link.Link):

    """What the links of mode normalization share: parameters and gates.

    A subclass says what shape ``gate_W`` has.

    Args:
        size (int, tuple of ints or None): Size or shape of the channel
            dimensions.
        n_modes (int): Number of modes ``K``.
        eps (float): Added to variances.
        dtype (numpy.dtype): Type of the parameters.
        use_gamma (bool): If ``True``, scale by the parameter gamma.
        use_beta (bool): If ``True``, shift by the parameter beta.
        initial_gamma: Initializer of gamma; 1 if ``None``.
        initial_beta: Initializer of beta; 0 if ``None``.
        axis (int, tuple of ints or None): Axes of the samples and of their
            positions.
        mode_affine (bool): If ``True``, gamma and beta have shape
            ``(K,) + size``.

    """

    gamma = None
    beta = None

    def __init__(self, size, n_modes, eps, dtype, use_gamma, use_beta,
                 initial_gamma, initial_beta, axis, mode_affine):
        super(GatedNormalization, self).__init__()
        check_integer('n_modes', n_modes, 1)
        check_real('eps', eps, 0, math.inf, closed_high=False)
        if not isinstance(mode_affine, bool):
            raise ValueError('mode_affine is {!r}: it must be True or '
                             'False'.format(mode_affine))
        self.size = axes.check_size(size)
        self.axis = axes.check_axis(axis)
        self.n_modes = n_modes
        self.eps = eps
        self.mode_affine = mode_affine
        # Of the last batch.
        self.gates = None
        self._highprec_dtype = numpy.dtype(chainer.get_dtype(
            dtype, map_mixed16=numpy.float32))
        if self._highprec_dtype.kind != 'f':
            raise ValueError('dtype is {!r}: it must be a floating '
                             'dtype'.format(dtype))
        with self.init_scope():
            self.gate_W = self._make_parameter(_GateInitializer(n_modes))
            self.gate_b = self._make_parameter(0)
            if use_gamma:
                self.gamma = self._make_parameter(
                    1 if initial_gamma is None else initial_gamma)
            if use_beta:
                self.beta = self._make_parameter(
                    0 if initial_beta is None else initial_beta)

    def _make_parameter(self, initializer):
        initializer = initializers._get_initializer(initializer)
        initializer.dtype = self._highprec_dtype
        return variable.Parameter(initializer)

    def _initialize(self, size):
        self.size = size
        for name in sorted(self._params):
            getattr(self, name).initialize(self._shape(name, size))

    def _gate_shape(self, size):
        """Returns the shape of ``gate_W``."""
        raise NotImplementedError

    def _shape(self, name, size):
        """Returns the shape of a parameter or persistent value."""
        if name == 'gate_W':
            return self._gate_shape(size)
        if name == 'gate_b':
            return self.n_modes,
        if name in ('gamma', 'beta') and not self.mode_affine:
            return size
        return (self.n_modes,) + size

    @property
    def printable_specs(self):
        yield 'size', self.size
        yield 'n_modes', self.n_modes
        yield 'eps', self.eps
        yield 'dtype', self._highprec_dtype
        yield 'use_gamma', self.gamma is not None
        yield 'use_beta', self.beta is not None
        yield 'axis', self.axis
        yield 'mode_affine', self.mode_affine

    def __repr__(self):
        return str(self)

    def _prepare(self, x):
        """Checks an input and brings it into the form ``(N, C, *S)``.

        Returns:
            tuple: The variable, and a function that undoes it.

        """
        x = chainer.as_variable(x)
        axes.check_type(x, self.size, self.axis)
        if self.size is None:
            channel_axes = axes.split_axes(x.ndim, None, self.axis)[1]
            self._initialize(tuple(x.shape[a] for a in channel_axes))
        return axes.channels_second(x, self.size, self.axis)

    def _apply(self, node, x):
        """Applies a function node to the input and the parameters."""
        leading = (self.n_modes,) if self.mode_affine else ()
        shape = leading + (math.prod(self.size),)
        with chainer.using_device(self.device):
            gamma, beta = (
                make(shape, self._highprec_dtype) if parameter is None
                else functions.reshape(parameter, shape)
                for parameter, make in (
                    (self.gamma, self.xp.ones), (self.beta, self.xp.zeros)))
        gate_W = self.gate_W
        if gate_W.ndim > 2:
            gate_W = functions.reshape(gate_W, (self.n_modes, -1))
        y, = node.apply((x, gate_W, self.gate_b, gamma, beta))
        self.gates = node.gates.astype(self._highprec_dtype)
        return y

    def serialize(self, serializer):
        """Serializes the link.

        Args:
            serializer (~chainer.AbstractSerializer): Serializer.

        Raises:
            KeyError: If what is to be loaded is not this kind of link's.
            ValueError: If it is that of one with another number of modes or
                size.  The link then stays as it was.

        """
        loading = isinstance(serializer, chainer.Deserializer)
        if loading:
            saved = {name: serializer(name, None)
                     for name in sorted(self._params | self._persistent)}
            self._check_state(saved)
        super(GatedNormalization, self).serialize(serializer)
        if loading:
            self._settle()

    def copyparams(self, link, copy_persistent=True):
        """Copies parameters and state from another link of this kind.

        Args:
            link (~chainer.Link): Where to copy from.
            copy_persistent (bool): Whether to copy the state, too.

        Raises:
            ValueError: If the other link has another number of modes or size.
                This link then stays as it was.

        """
        arrays = {name: getattr(link, name).array
                  for name in self._params & link._params}
        if copy_persistent:
            arrays.update((name, getattr(link, name))
                          for name in self._persistent & link._persistent)
        self._check_state(arrays)
        super(GatedNormalization, self).copyparams(link, copy_persistent)
        self._settle()

    def _check_state(self, values):
        """Raises ValueError unless these values can be taken."""
        values = {name: value for name, value in sorted(values.items())
                  if getattr(value, 'ndim', 0) > 0}
        size = self.size
        for name, value in values.items():
            if size is None and name not in ('gate_W', 'gate_b'):
                n_leading = len(self._shape(name, ()))
                size = value.shape[n_leading:]
        for name, value in values.items():
            if size is None and name == 'gate_W':
                continue
            expected = self._shape(name, size)
            if tuple(value.shape) != expected:
                raise ValueError(
                    '{} has shape {} where {!r}{} needs {}'.format(
                        name, tuple(value.shape),
                        '' if self.name is None else self.name + ': ',
                        self, expected))

    def _settle(self):
        """Completes state that was set from elsewhere."""
        for name in sorted(self._params):
            parameter = getattr(self, name)
            if self.size is None and name not in (
                    'gate_W', 'gate_b') and parameter.is_initialized:
                self.size = parameter.shape[len(self._shape(name, ())):]
        for name in self._persistent:
            value = getattr(self, name)
            if isinstance(value, chainer.get_array_types()):
                setattr(self, name, self.device.send(value))


class _GateInitializer(initializers.Normal):

    """``1 / K`` and a little noise: modes start alike, but not the same."""

    def __init__(self, n_modes):
        super(_GateInitializer, self).__init__(scale=.01)
        self._mean = 1 / n_modes

    def __call__(self, array):
        super(_GateInitializer, self).__call__(array)
        array += array.dtype.type(self._mean)
