import copy
import functools
import math

import numpy

import chainer
from chainer import functions
from chainer import initializers
from chainer import link_hook
from chainer import links as L
from chainer import variable

from mixnorm.checks import check_flag, check_real, is_integer
from mixnorm.update_rules import copied_update_rule


class WeightNormalization(link_hook.LinkHook):

    r"""Weight normalization link hook.

    It splits a link's weight into length and direction.  The weights of each
    output unit, :math:`w`, are replaced by

    .. math:: w = \frac{g}{\|v\|} v

    where :math:`v` and :math:`g` are parameters.  :math:`v` is what was the
    weight, and keeps its name and its optimizer's state; :math:`g` is a new
    parameter of the link, ``W_g`` if the weight is ``W``.  At first it is
    :math:`\|v\|`, so that adding the hook changes no output.  If an optimizer
    has been set up for the weight already, :math:`g` gets an update rule of
    the same kind.

    Deleting the hook (:meth:`chainer.Link.delete_hook`) leaves :math:`w` in
    the weight's place.  While the hook is there, the link is saved and loaded
    with :math:`v` and :math:`g`; load weights that were saved without it
    before adding it.

    Only calls of the link use :math:`w`: what reads the attribute, as a weight
    tied to another layer or a further method of the link does, finds
    :math:`v`.

    A link whose weight is not there yet is called once more at its first
    mini-batch, to make it.

    Args:
        weight_name (str): Name of the weight.
        axis (int or None): The weight's axis of output units.  ``None``: 1
            for deconvolutions, of which each group has its own units, and 0
            for all other links; some need another, such as 2 for
            :class:`chainer.links.Bilinear`.
        data_dependent (bool): If ``True``, the first mini-batch of training
            sets ``g`` and, if the link has one, the bias ``b`` such that each
            unit's outputs have zero mean and unit variance over the
            mini-batch.  Units whose outputs are constant keep their ``g``.
            For it the link is called once more.  A mini-batch whose outputs
            are not finite is left out.
        eps (float): Added to :math:`\|v\|^2`, for units whose weights are 0.
        name (str or None): Name of the hook, which is needed if a link has
            several; ``'WeightNormalization'`` if ``None``.

    Raises:
        ValueError: If an argument is out of its range; when it is added to a
            link, if that has no such weight, or no ``forward``.

    Source: T. Salimans and D. P. Kingma, *Weight Normalization: A Simple
    Reparameterization to Accelerate Training of Deep Neural Networks* (2016),
    eq. (2) and section 3.

    .. admonition:: Example

        >>> import chainer.links as L
        >>> import mixnorm
        >>> layer = L.Convolution2D(3, 5, 3).add_hook(
        ...     mixnorm.link_hooks.WeightNormalization())
        >>> layer.W_g.shape
        (5,)
        >>> layer.delete_hook('WeightNormalization')

    """

    name = 'WeightNormalization'

    def __init__(self, weight_name='W', axis=None, data_dependent=False,
                 eps=1e-12, name=None):
        if not isinstance(weight_name, str) or not weight_name:
            raise ValueError(f'weight_name is {weight_name!r}: it must be the '
                             'name of a parameter')
        if name is not None and (not isinstance(name, str) or not name):
            raise ValueError(f'name is {name!r}: it must be None or a string '
                             'that is not empty')
        if axis is not None and (not is_integer(axis) or axis < 0):
            raise ValueError(f'axis is {axis!r}: it must be None or an axis '
                             'from 0')
        check_flag('data_dependent', data_dependent)
        check_real('eps', eps, 0, math.inf, closed_low=False,
                   closed_high=False)
        self.weight_name = weight_name
        self.axis = axis
        self.data_dependent = data_dependent
        self.eps = eps
        if name is not None:
            self.name = name

    @property
    def length_name(self):
        """Name of the parameter g in the link."""
        return f'{self.weight_name}_g'

    @property
    def fitted_name(self):
        """Name of the link's persistent value that is 1 once data was seen.

        It is there with ``data_dependent``.

        """
        return f'{self.weight_name}_is_fitted'

    def __enter__(self):
        raise NotImplementedError(
            'weight normalization is added to links: link.add_hook(hook)')

    def added(self, link):
        try:
            self._register(link)
        except Exception:
            # Link.add_hook has taken the hook in before.
            for name, hook in list(link.local_link_hooks.items()):
                if hook is self:
                    del link.local_link_hooks[name]
            raise

    def deleted(self, link):
        weight = getattr(link, self.weight_name)
        if weight.array is not None:
            self._prepare_length(link)
            with chainer.no_backprop_mode():
                weight.array[...] = self._normalized(
                    link, getattr(link, self.length_name)).array
            weight.cleargrad()
        delattr(link, self.length_name)
        if self.data_dependent:
            delattr(link, self.fitted_name)
        if not _hooks_of(link, but=self):
            link.__class__ = type(link).__bases__[0]

    def forward_preprocess(self, cb_args):
        link = cb_args.link
        call = functools.partial(
            _forward_with, link, args=cb_args.args, kwargs=cb_args.kwargs)
        if getattr(link, self.weight_name).array is None:
            with chainer.no_backprop_mode():
                call({})
        self._prepare_length(link)
        if (self.data_dependent and chainer.config.train
                and not chainer.config.in_recomputing
                and not getattr(link, self.fitted_name)):
            self._fit(link, call)

    def _register(self, link):
        weight = getattr(link, self.weight_name, None)
        if not isinstance(weight, variable.Parameter):
            names = ', '.join(
                name.lstrip('/') for name, _ in link.namedparams())
            raise ValueError(f'weight_name is {self.weight_name!r}: {link} '
                             f"has {names or 'no parameters'}")
        for name in (self.length_name, self.fitted_name):
            if hasattr(link, name):
                raise ValueError(f'{link} has an attribute {name!r} already')
        if not hasattr(link, 'forward'):
            # Layers of chainer.links.NStepLSTM are such links.
            raise ValueError(f'weight_name is {self.weight_name!r}: the link '
                             'that has it has no forward, and its weights '
                             'could be replaced in that only')
        if not isinstance(link, _WeightNormalized) and hasattr(
                super(chainer.Link, link), '__call__'):
            raise ValueError(f'{link} has a class that is called in place of '
                             'its forward: its weights cannot be replaced')
        initialized = weight.array is not None
        if initialized:
            self._view(link)
        length = variable.Parameter(initializers.NaN(_length_dtype(
            weight.dtype if initialized else chainer.get_dtype())))
        length.to_device(link.device)
        if weight.update_rule is not None:
            length.update_rule = copied_update_rule(weight.update_rule)
        with link.init_scope():
            setattr(link, self.length_name, length)
        if self.data_dependent:
            link.add_persistent(self.fitted_name, 0)
        if not isinstance(link, _WeightNormalized):
            link.__class__ = _normalized_class(type(link))
        if initialized:
            self._prepare_length(link)

    def _view(self, link):
        """Returns a shape for the weight, and its axes of output units."""
        shape = getattr(link, self.weight_name).shape
        if self.axis is None and isinstance(
                link, (L.Deconvolution2D, L.DeconvolutionND)):
            groups = link.groups
            return (groups, shape[0] // groups) + shape[1:], (0, 2)
        axis = 0 if self.axis is None else self.axis
        if axis >= len(shape):
            raise ValueError(f'axis is {axis}: {self.weight_name} has '
                             f'{len(shape)} axes')
        return shape, (axis,)

    def _prepare_length(self, link):
        """Makes g, if it is not there yet."""
        length = getattr(link, self.length_name)
        if length.array is None:
            view, unit_axes = self._view(link)
            length.initializer = _Length(
                getattr(link, self.weight_name), view, unit_axes, self.eps)
            length.initialize((math.prod(view[a] for a in unit_axes),))

    def _normalized(self, link, g):
        """Returns the variable w for lengths g."""
        weight = getattr(link, self.weight_name)
        view, unit_axes = self._view(link)
        v = functions.cast(functions.reshape(weight, view), g.dtype)
        norm = functions.sqrt(functions.sum(
            v * v, axis=_others(view, unit_axes), keepdims=True) + self.eps)
        w = v * (functions.reshape(g, norm.shape) / norm)
        return functions.cast(
            functions.reshape(w, weight.shape), weight.dtype)

    def _fit(self, link, call):
        """Sets g and b by the outputs to a mini-batch (section 3)."""
        g = getattr(link, self.length_name).array
        with chainer.no_backprop_mode():
            y = call({self.weight_name: self._normalized(
                link, link.xp.ones_like(g))}).array
        axis = y.ndim - 1 if isinstance(link, L.Linear) else 1
        if y.ndim <= axis or y.shape[axis] != len(g):
            raise ValueError(
                f'data_dependent is True: {link} has {len(g)} output units by '
                f'its {self.weight_name}, but its output has shape {y.shape}')
        if y.size == 0:
            return
        xp = link.xp
        over = _others(y.shape, (axis,))
        if not bool(xp.isfinite(y).all()):
            return
        mean = y.mean(axis=over, dtype=numpy.float64)
        deviation = y.std(axis=over, dtype=numpy.float64)
        # Less than this is rounding.
        varies = deviation > (
            8 * numpy.finfo(y.dtype).eps * abs(y).max(axis=over))
        scale = xp.where(
            varies, 1 / xp.where(varies, deviation, 1), g.astype(mean.dtype))
        g[...] = scale
        if getattr(link, 'b', None) is not None:
            # The mean holds b itself.
            link.b.array[...] = scale * (link.b.array - mean)
        setattr(link, self.fitted_name, 1)


class _WeightNormalized:

    """Mixed into the class of links that have the hook.

    Chainer's hooks can change a link before its forward pass, but not for one
    thread alone.  Therefore a link that has the hook becomes one of a class
    derived from its own.  What stands behind Link in the order of its classes
    is called in place of ``forward``: it runs that on a copy of the link
    which has the normalized weights.

    """

    def __call__(self, *args, **kwargs):
        return _forward_with(self, {
            hook.weight_name: hook._normalized(
                self, getattr(self, hook.length_name))
            for hook in _hooks_of(self)}, args, kwargs)

    def __reduce_ex__(self, protocol):
        return _new_normalized, (type(self).__bases__[0],), vars(self)


@functools.lru_cache(maxsize=None)
def _normalized_class(link_class):
    return type(link_class.__name__, (link_class, _WeightNormalized),
                {'__module__': link_class.__module__,
                 '__qualname__': link_class.__qualname__,
                 '__doc__': link_class.__doc__})


def _new_normalized(link_class):
    return object.__new__(_normalized_class(link_class))


def _hooks_of(link, but=None):
    return [hook for hook in link.local_link_hooks.values()
            if isinstance(hook, WeightNormalization) and hook is not but]


def _forward_with(link, weights, args, kwargs):
    """Runs a link's own forward pass with variables for weights.

    It runs on a copy, so that no other thread sees them; what else the pass
    sets comes back to the link.

    """
    working = copy.copy(link)
    vars(working).update(weights)
    before = dict(vars(working))
    y = working.forward(*args, **kwargs)
    for name, value in vars(working).items():
        if name not in before or value is not before[name]:
            setattr(link, name, value)
    return y


class _Length(initializers.Constant):

    """``||v||`` per output unit, of the weight as it is at the time."""

    def __init__(self, weight, view, unit_axes, eps):
        super().__init__(
            numpy.nan, _length_dtype(weight.dtype))
        self._weight = weight
        self._view = view
        self._unit_axes = unit_axes
        self._eps = eps

    def __call__(self, array):
        v = self._weight.array.astype(array.dtype).reshape(self._view)
        square = (v * v).sum(axis=_others(self._view, self._unit_axes))
        array[...] = (square.ravel() + self._eps) ** .5


def _others(shape, axes):
    return tuple(a for a in range(len(shape)) if a not in axes)


def _length_dtype(weight_dtype):
    # A squared length of float16 weights overflows.
    return numpy.promote_types(
        chainer.get_dtype(weight_dtype, map_mixed16=numpy.float32),
        numpy.float32)
