import copy
import functools

import chainer
from chainer import initializers
from chainer import link
from chainer import variable
import numpy

from mixnorm.checks import check_initializer, naming_initializer


def on_own_device(method):
    """Makes the current device of a link's method the link's."""
    @functools.wraps(method)
    def wrapper(self, *args, **kwargs):
        with chainer.using_device(self.device):
            return method(self, *args, **kwargs)

    return wrapper


class SizedLink(link.Link):

    """A link whose size may be left to the first mini-batch, or to state.

    A subclass says what shapes its parameters and persistent values have, and
    calls :meth:`_initialize` when it learns the size.  What others add to it,
    a class derived from it or a link hook, has nothing to do with the size.

    Attributes:
        size (tuple of ints or None): Shape of the channel dimensions, if it
            is known.

    """

    size = None

    # Names of its own parameters and persistent values whose shape is the
    # size, or ends in it.
    _size_shaped = 'gamma', 'beta'

    @on_own_device
    def __call__(self, *args, **kwargs):
        return super().__call__(*args, **kwargs)

    def __repr__(self):
        return str(self)

    @property
    def _title(self):
        if self.name is None:
            return repr(self)
        return f'{self.name!r}: {self!r}'

    def _make_parameter(self, name, initializer, default):
        """Makes a parameter as the argument ``'initial_' + name`` says."""
        check_initializer(f'initial_{name}', initializer)
        initializer = initializers._get_initializer(
            default if initializer is None else initializer)
        initializer.dtype = self._highprec_dtype
        return variable.Parameter(initializer)

    def _initialize(self, size):
        """Makes what is not there yet of all that waits for the size.

        Raises:
            ValueError: If the size cannot be this link's.  It then stays as
                it was.

        """
        self._check_size(size)
        missing = [(name, getattr(self, name), self._shape(name, size))
                   for name in sorted(self._params)
                   if not getattr(self, name).is_initialized
                   and self._shape(name, size) is not None]
        for name, parameter, shape in missing:
            check_initializer(
                f'initial_{name}', parameter.initializer, shape)
        for name, parameter, shape in missing:
            with naming_initializer(
                    f'initial_{name}', parameter.initializer, shape):
                parameter.initialize(shape)
        self.size = size

    def _check_size(self, size):
        """Raises ValueError if the size cannot be this link's."""

    def _shape(self, name, size):
        """Returns the shape of a parameter or persistent value.

        ``None`` if it may have any.

        """
        return size if name in self._size_shaped else None

    def _size_of(self, name, shape):
        """Returns the size that a shape tells, ``None`` if it does not."""
        return shape

    # State that is not persistent values of their own, but arrays of an
    # object that is replaced at once: another thread sees all of the old ones
    # or all of the new ones.

    def _get_state(self):
        """Returns a dictionary from names to arrays, or ``None``."""
        return {}

    def _set_state(self, state):
        """Takes all that :meth:`_get_state` returns."""

    # Names of state that may be missing where it is loaded or copied from.
    _optional_state = ()

    def device_resident_accept(self, visitor):
        super().device_resident_accept(visitor)
        self._set_state({
            name: visitor.visit_array(value)
            if isinstance(value, chainer.get_array_types()) else value
            for name, value in self._get_state().items()})

    def serialize(self, serializer):
        """Serializes the link.

        Args:
            serializer (~chainer.AbstractSerializer): Serializer.

        Raises:
            KeyError: If what is to be loaded is not this kind of link's.
            ValueError: If it is that of one of other shapes.  The link then
                stays as it was.

        """
        loading = isinstance(serializer, chainer.Deserializer)
        if loading:
            names = self._params | self._persistent | set(self._get_state())
            found = {name: self._load(serializer, name) for name in names}
            self._make_room(found)
        super().serialize(serializer)
        state = {}
        for name, value in self._get_state().items():
            if loading:
                # Not into arrays that other threads may be reading, nor into
                # one of another shape.
                fits = found[name] is None or (
                    numpy.shape(value) == found[name].shape)
                value = copy.copy(value) if fits else None
                state[name] = self._load(serializer, name, value)
            else:
                state[name] = serializer(name, value)
        if loading:
            self._set_state(state)
            self._settle()

    def _load(self, serializer, name, value=None):
        """Loads a value, ``None`` for optional state that is not there."""
        try:
            return serializer(name, value)
        except KeyError:
            if name not in self._optional_state:
                raise
            return None

    def copyparams(self, link, copy_persistent=True):
        """Copies parameters and state from another link of this kind.

        Args:
            link (~chainer.Link): Where to copy from.  If it has no size yet,
                it is taken as it would be made with this link's.
            copy_persistent (bool): Whether to copy the state, too.

        Raises:
            ValueError: If the other link lacks something, or it has another
                shape there.  This link then stays as it was.

        """
        names = set(self._params)
        if copy_persistent:
            names |= self._persistent | set(self._get_state())
        theirs = dict.fromkeys(self._optional_state)
        missing = sorted(names - set(_values(link)) - set(theirs))
        if missing:
            raise ValueError(f"{type(link).__name__} has no "
                             f"{', '.join(missing)}: {self._title} needs it")
        if (self.size is not None and isinstance(link, SizedLink)
                and link.size is None):
            link = copy.deepcopy(link)
            link._initialize(self.size)
        theirs.update(_values(link))
        self._make_room({
            name: chainer.as_array(theirs[name]) for name in names})
        super().copyparams(link, copy_persistent)
        if copy_persistent:
            self._set_state({name: copy.deepcopy(theirs[name])
                             for name in self._get_state()})
        self._settle()

    def _make_room(self, values):
        """Makes ready to take parameters and persistent values.

        Raises:
            ValueError: If they cannot be taken.  Nothing is changed then.

        """
        # The one of most axes tells most.
        shapes = dict(sorted(
            _shapes(values).items(), key=lambda item: -len(item[1])))
        size = self._find_size(shapes) if self.size is None else self.size
        if size is not None:
            self._check_size(size)
        for name, shape in shapes.items():
            # Where none tells the size, none depends on it.
            expected = self._shape(name, () if size is None else size)
            if expected is not None and shape != expected:
                raise ValueError(f'{name} has shape {shape} where '
                                 f'{self._title} needs {expected}')
        if size is not None:
            self._initialize(size)

    def _find_size(self, shapes):
        """Returns the size that shapes tell, ``None`` if none does."""
        sizes = (self._size_of(name, shape) for name, shape in shapes.items()
                 if self._shape(name, ()) is not None)
        return next((size for size in sizes if size is not None), None)

    def _settle(self):
        """Completes state that was set from elsewhere."""
        if self.size is not None:
            # That of a link that has seen nothing has nothing in places.
            self._initialize(self.size)
        # What was loaded lies in main memory.
        self.to_device(self.device)


def _values(link):
    """Returns parameters and state by name."""
    values = {name: getattr(link, name)
              for name in link._params | link._persistent}
    if isinstance(link, SizedLink):
        values.update(link._get_state())
    return values


def _shapes(values):
    """Returns the shapes of those values that are arrays with axes."""
    return {name: tuple(value.shape) for name, value in sorted(values.items())
            if getattr(value, 'ndim', 0) > 0}
