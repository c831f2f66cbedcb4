import math

import numpy

import chainer
from chainer import functions
from chainer import initializers
from chainer import link
from chainer import variable

from mixnorm.links import axes
from mixnorm.mixture.validation import check_real


class AffineNormalization(link.Link):

    """What normalization links share: scale, shift, and a size to come.

    A subclass calls :meth:`_initialize` at the end of its construction if
    the size is known, and says what shapes its other parameters and
    persistent values have.

    Args:
        size (int, tuple of ints or None): Size or shape of the channel
            dimensions.  If ``None``, the first mini-batch decides.
        eps (float): Added to variances.
        dtype (numpy.dtype): Type of the parameters; that of
            ``chainer.config.dtype`` if ``None`` (float32 for mixed16).
        use_gamma (bool): If ``True``, scale by the parameter gamma.
        use_beta (bool): If ``True``, shift by the parameter beta.
        initial_gamma: Initializer of gamma; 1 if ``None``.
        initial_beta: Initializer of beta; 0 if ``None``.
        axis (int, tuple of ints or None): Axes of samples (the first) and of
            positions, in ascending order.  ``None``: all axes but those of
            ``size`` after the first.

    """

    gamma = None
    beta = None

    def __init__(self, size, eps, dtype, use_gamma, use_beta, initial_gamma,
                 initial_beta, axis):
        super(AffineNormalization, self).__init__()
        check_real('eps', eps, 0, math.inf, closed_high=False)
        self.size = axes.check_size(size)
        self.axis = axes.check_axis(axis)
        self.eps = eps
        self._highprec_dtype = numpy.dtype(chainer.get_dtype(
            dtype, map_mixed16=numpy.float32))
        if self._highprec_dtype.kind != 'f':
            raise ValueError('dtype is {!r}: it must be a floating '
                             'dtype'.format(dtype))
        with self.init_scope():
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
        """Makes all that waited for the size."""
        self.size = size
        for name in sorted(self._params):
            getattr(self, name).initialize(self._shape(name, size))

    def _shape(self, name, size):
        """Returns the shape of a parameter or persistent value."""
        return size

    def _size_of(self, name, shape):
        """Returns the size that a shape tells, ``None`` if it does not."""
        return shape

    @property
    def printable_specs(self):
        yield 'size', self.size
        yield 'eps', self.eps
        yield 'dtype', self._highprec_dtype
        yield 'use_gamma', self.gamma is not None
        yield 'use_beta', self.beta is not None
        yield 'axis', self.axis

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

    def _scale_and_shift(self):
        """Returns gamma and beta, 1 and 0 where there is none.

        Their shape is that for the channel dimensions as one, ``(C,)``.

        """
        shape = self._shape('gamma', (math.prod(self.size),))
        with chainer.using_device(self.device):
            return tuple(
                make(shape, self._highprec_dtype) if parameter is None
                else functions.reshape(parameter, shape)
                for parameter, make in (
                    (self.gamma, self.xp.ones), (self.beta, self.xp.zeros)))

    def serialize(self, serializer):
        """Serializes the link.

        Args:
            serializer (~chainer.AbstractSerializer): Serializer.

        Raises:
            KeyError: If what is to be loaded is not this kind of link's.
            ValueError: If it is that of one with another size.  The link then
                stays as it was.

        """
        loading = isinstance(serializer, chainer.Deserializer)
        if loading:
            self._check_state({
                name: serializer(name, None)
                for name in self._params | self._persistent})
        super(AffineNormalization, self).serialize(serializer)
        if loading:
            self._settle()

    def copyparams(self, link, copy_persistent=True):
        """Copies parameters and state from another link of this kind.

        Args:
            link (~chainer.Link): Where to copy from.
            copy_persistent (bool): Whether to copy the state, too.

        Raises:
            ValueError: If the other link has another size.  This link then
                stays as it was.

        """
        values = {name: getattr(link, name).array
                  for name in self._params & link._params}
        if copy_persistent:
            values.update((name, getattr(link, name))
                          for name in self._persistent & link._persistent)
        self._check_state(values)
        super(AffineNormalization, self).copyparams(link, copy_persistent)
        self._settle()

    def _check_state(self, values):
        """Raises ValueError unless these values can be taken."""
        shapes = {name: tuple(value.shape)
                  for name, value in sorted(values.items())
                  if getattr(value, 'ndim', 0) > 0}
        size = self.size
        if size is None:
            size = self._find_size(shapes)
        for name, shape in shapes.items():
            # Where none tells the size, none depends on it.
            expected = self._shape(name, () if size is None else size)
            if shape != expected:
                raise ValueError(
                    '{} has shape {} where {}{!r} needs {}'.format(
                        name, shape,
                        '' if self.name is None else self.name + ': ', self,
                        expected))

    def _find_size(self, shapes):
        """Returns the size that shapes tell, ``None`` if none does."""
        sizes = (self._size_of(*item) for item in sorted(shapes.items()))
        return next((size for size in sizes if size is not None), None)

    def _settle(self):
        """Completes state that was set from elsewhere."""
        if self.size is None:
            self.size = self._find_size({
                name: getattr(self, name).shape for name in self._params
                if getattr(self, name).is_initialized
                and getattr(self, name).ndim > 0})
        for name in self._persistent:
            value = getattr(self, name)
            if isinstance(value, chainer.get_array_types()):
                setattr(self, name, self.device.send(value))
