"""Memory for temporaries."""
import contextlib
import math

import numpy

from mixnorm.compute.layout import shape_like


class Scratch:

    """Memory for the temporaries of one thread in one pass over blocks.

    A temporary has a name, under which the next block gets the same memory
    again: fresh memory comes from the system page by page, which costs more
    than arithmetic on it.

    Args:
        xp (module): NumPy, or CuPy, which keeps memory by itself.

    Attributes:
        xp (module): The same.

    """

    def __init__(self, xp=numpy):
        self.xp = xp
        self._memory = {}
        self._names = set()

    def empty(self, name, shape, dtype):
        """Makes a temporary.

        Args:
            name (str): What it holds.
            shape (tuple of ints): Its shape.
            dtype (numpy.dtype): Its type.

        Returns:
            array: It is valid until the step ends.

        Raises:
            RuntimeError: If a temporary of this name is in use.

        """
        if name in self._names:
            raise RuntimeError(f'a temporary named {name!r} is in use')
        self._names.add(name)
        if self.xp is not numpy:
            return self.xp.empty(shape, dtype)
        size = math.prod(shape)
        memory = self._memory.get(name)
        if memory is None or memory.size < size or memory.dtype != dtype:
            memory = self._memory[name] = numpy.empty(size, dtype)
        return memory[:size].reshape(shape)

    def empty_like(self, name, z, dtype=None):
        """Makes a temporary of the shape and the order in memory of ``z``."""
        return shape_like(
            self.empty(name, (z.size,), z.dtype if dtype is None else dtype),
            z)

    @contextlib.contextmanager
    def step(self):
        """Returns a context: names first used in it are free after it."""
        names = self._names
        self._names = set(names)
        try:
            yield
        finally:
            self._names = names
