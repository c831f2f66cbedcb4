import math

import chainer
from chainer import functions

from mixnorm.checks import (
    check_axis, check_dtype, check_eps, check_flag, check_size)
from mixnorm.links import axes
from mixnorm.links.sized_link import SizedLink


class AffineNormalization(SizedLink):

    """What normalization links share: scale, shift, and a size to come.

    A subclass calls :meth:`_initialize` at the end of its construction if
    the size is known.

    Its arguments are those of :class:`~mixnorm.links.InstanceNormalization`.

    """

    gamma = None
    beta = None

    def __init__(self, size, eps, dtype, use_gamma, use_beta, initial_gamma,
                 initial_beta, axis):
        super().__init__()
        check_eps(eps)
        self.size = check_size(size)
        self.axis = check_axis(axis)
        self.eps = eps
        self._highprec_dtype = check_dtype(dtype)
        check_flag('use_gamma', use_gamma)
        check_flag('use_beta', use_beta)
        with self.init_scope():
            if use_gamma:
                self.gamma = self._make_parameter('gamma', initial_gamma, 1)
            if use_beta:
                self.beta = self._make_parameter('beta', initial_beta, 0)

    @property
    def printable_specs(self):
        yield 'size', self.size
        yield 'eps', self.eps
        yield 'dtype', self._highprec_dtype
        yield 'use_gamma', self.gamma is not None
        yield 'use_beta', self.beta is not None
        yield 'axis', self.axis

    def _check_input(self, x):
        """Raises an error if an input does not fit."""
        axes.check_type(x, self.size, self.axis)

    def _join(self, x, workers, **settings):
        """Finds this worker's share; see :meth:`Workers.join`."""
        error = None
        try:
            x = chainer.as_variable(x)
            self._check_input(x)
        except Exception as caught:
            # The others would wait for this worker.
            error = caught
        return workers.join(
            self._title, dict(self.printable_specs, **settings), x,
            0 if self.axis is None else self.axis[0], error)

    def _points(self, x):
        """Checks an input and brings it into the form ``(N, C, *S)``.

        Returns:
            tuple: The variable, and a function that undoes it.

        """
        x = chainer.as_variable(x)
        self._check_input(x)
        if self.size is None:
            channel_axes = axes.split_axes(x.ndim, None, self.axis)[1]
            self._initialize(tuple(x.shape[a] for a in channel_axes))
        return axes.channels_second(x, self.size, self.axis)

    def _scale_and_shift(self):
        """Returns gamma and beta, 1 and 0 where there is none.

        Their shape is that for the channel dimensions as one, ``(C,)``.

        """
        shape = self._shape('gamma', (math.prod(self.size),))
        return tuple(
            make(shape, self._highprec_dtype) if parameter is None
            else functions.reshape(parameter, shape)
            for parameter, make in (
                (self.gamma, self.xp.ones), (self.beta, self.xp.zeros)))
