"""Points that come in blocks, gone through once for every sum over them.

An array is one block.  A Dask array is a block for each of its chunks, and
Dask decides where and when they are worked on.  An iterable of arrays is read
from its beginning to its end in every pass, and no more than a block of it is
held in memory.
"""
import functools
import itertools
import math
import operator

import numpy

from mixnorm import compute
from mixnorm.checks import (
    as_floating, as_weights, check_points, check_sample_weight)
from mixnorm.compute.layout import (
    device_of, get_array_module, stack, working_dtype)

# Results of so many of Dask's tasks are added up by one.
_FAN_IN = 8


def is_dask(X):
    """Tells whether ``X`` is one of Dask's arrays, without importing it."""
    return type(X).__module__.partition('.')[0] == 'dask' and hasattr(
        X, 'to_delayed') and hasattr(X, 'chunks')


class BlockIterable:

    """An iterable of arrays, known to be one.

    Args:
        X (iterable): What gives arrays of two axes or more, again and again.
        device (context manager): What makes the first one's device current.

    """

    def __init__(self, X, device):
        self._X = X
        self.device = device

    def __iter__(self):
        return iter(self._X)


def recognize(X):
    """Tells blocks from arrays, and from what becomes an array.

    It looks at the first block: no more has to be read to know what the
    rest of a call is about.

    Args:
        X (object): What a user calls points.

    Returns:
        object: A :class:`BlockIterable` if ``X`` gives blocks: if what comes
        first is an array of two axes or more, or NumPy could make no array
        of ``X``, which is no sequence.  Otherwise, ``X``.

    Raises:
        ValueError: If ``X`` can be gone through only once.

    """
    if isinstance(X, (BlockIterable, str, bytes, dict)) or any(
            hasattr(X, name) for name in ('__array__', 'shape', 'dtype')) or (
            not hasattr(X, '__iter__')):
        return X
    blocks = iter(X)
    if blocks is X:
        raise ValueError(
            f'X is a {type(X).__name__}, which can be gone through only once: '
            'a fit needs the blocks again and again, as from a list of '
            'memory-mapped arrays')
    first = next(blocks, None)
    is_sequence = hasattr(X, '__len__') and hasattr(X, '__getitem__')
    if is_sequence and len(getattr(first, 'shape', ())) < 2:
        return X
    return BlockIterable(X, device_of(first))


def comes_in_blocks(X):
    """Tells whether ``X``, from :func:`recognize`, is no array by itself."""
    return is_dask(X) or isinstance(X, BlockIterable)


def device_of_points(X):
    """Returns a context in which the current device is that of points.

    Args:
        X (object): What :func:`recognize` returned.

    Returns:
        context manager: An array's device, or that of the first block of an
        iterable.  It does nothing for main memory, and for a Dask array,
        whose chunks are worked on where they are.

    """
    return X.device if isinstance(X, BlockIterable) else device_of(X)


class Blocks:

    """Weighted points in blocks.

    Functions of a block take its points, a stack ``(B, C, L)``, and their
    weights, ``(B, L)`` or ``None``.

    Args:
        sizes (sequence of ints): Number of points of every block.
        n_dims (int): Number of dimensions ``C``.
        dtype (numpy.dtype): Their dtype.
        xp (module): NumPy or CuPy, whose arrays they are.
        total_weight (float or array): Sum of their weights, no axes.
        is_weighted (bool): Whether there are weights.

    Attributes:
        dtype (numpy.dtype): The working dtype.
        n_points (int): ``M``.

    """

    def __init__(self, sizes, n_dims, dtype, xp, total_weight, is_weighted):
        self.sizes = tuple(sizes)
        self.n_points = sum(self.sizes)
        self.n_dims = n_dims
        self.dtype = working_dtype(dtype)
        self.xp = xp
        self.total_weight = total_weight
        self.is_weighted = is_weighted

    def map(self, function, arguments=None):
        """Applies a function to every block.

        Args:
            function (callable): Of a block; what Dask can send to other
                processes.
            arguments (list or None): A third argument for each block; a
                block whose argument is ``None`` is left out.

        Returns:
            list: What it returned, in the order of the blocks, ``None`` for
            those left out.

        """
        raise NotImplementedError

    def sum(self, function, add=operator.add):
        """Adds up what a function returns for the blocks, in a tree.

        Args:
            function (callable): Of a block; see :meth:`map`.
            add (callable): Takes two of its results.

        Returns:
            object: The sum.

        """
        raise NotImplementedError

    def take(self, indices):
        """Gathers points by their numbers.

        Args:
            indices (numpy.ndarray): ``(m,)``.

        Returns:
            tuple: Points ``(m, C)`` in the working dtype, and their weights
            ``(m,)`` or ``None``.

        """
        ends = numpy.cumsum(self.sizes)
        blocks = numpy.searchsorted(ends, indices, side='right')
        parts = self.map(_take, [
            indices[blocks == i] - (ends[i] - size)
            if (blocks == i).any() else None
            for i, size in enumerate(self.sizes)])
        # As they came, not block after block.
        places = None
        if (numpy.diff(blocks) < 0).any():
            places = self.xp.asarray(numpy.argsort(
                numpy.argsort(blocks, kind='stable'), kind='stable'))
        return tuple(
            None if z[0] is None else self._join(z, places)
            for z in zip(*(part for part in parts if part is not None)))

    def _join(self, parts, places):
        joined = parts[0] if len(parts) == 1 else self.xp.concatenate(parts)
        return joined if places is None else joined[places]


def _take(x, sample_weight, indices):
    indices = get_array_module(x).asarray(indices)
    return (compute.arithmetic(x).seeding.take(x, indices),
            None if sample_weight is None else sample_weight.ravel()[indices])


class ArrayBlocks(Blocks):

    """An array, which is a single block.

    Args:
        x (array or points): Stack ``(B, C, L)``, or what
            :meth:`mixnorm.compute.contract.Sample.precompute` made of one.
        sample_weight (array or None): ``(B, L)``.

    """

    def __init__(self, x, sample_weight=None):
        size = n_points(x.shape)
        super().__init__(
            [size], x.shape[1], x.dtype, get_array_module(x),
            size if sample_weight is None else sample_weight.sum(),
            sample_weight is not None)
        self.x = x
        self.sample_weight = sample_weight

    def map(self, function, arguments=None):
        if arguments is None:
            return [self.sum(function)]
        return [None if argument is None else function(
            self.x, self.sample_weight, argument) for argument in arguments]

    def sum(self, function, add=operator.add):
        return function(self.x, self.sample_weight)


def as_blocks(X, sample_weight=None):
    """Returns checked points in blocks.

    Args:
        X (array, dask.array.Array or iterable of arrays): Points ``(M, C)`` or
            ``(N, C, *S)``; an array has been checked.
        sample_weight (array-like or None): Weights ``(M,)`` or ``(N, *S)``.

    Returns:
        Blocks: They.

    Raises:
        ValueError: If points or weights are not what they have to be.

    """
    X = recognize(X)
    if is_dask(X):
        blocks = DaskBlocks(X, sample_weight)
    elif isinstance(X, BlockIterable):
        blocks = IterableBlocks(X, sample_weight)
    else:
        if sample_weight is not None:
            sample_weight = check_sample_weight(sample_weight, X)
        x, sample_weight = as_stack(X, sample_weight)
        blocks = ArrayBlocks(
            compute.arithmetic(x).sample.precompute(x), sample_weight)
    if not bool(blocks.total_weight > 0):
        raise ValueError('sample_weight is zero for every point: it must be '
                         'positive for at least one')
    return blocks


class IterableBlocks(Blocks):

    """An iterable of arrays.

    Args:
        X (iterable): Arrays ``(M, C)`` or ``(N, C, *S)``.
        sample_weight (array-like or None): Of all points, the blocks' one
            after another along the first axis.

    Raises:
        ValueError: If a block does not hold finite points of the first
            block's dimensions, or weights do not fit.

    """

    def __init__(self, X, sample_weight=None):
        self._blocks = X
        self._sample_weight = n_weights = None
        if sample_weight is not None:
            self._sample_weight = as_weights(sample_weight)
            n_weights = sum(self._sample_weight.shape[:1])
        self._shapes = shapes = []
        dtypes, totals, n_samples = [], [], 0
        for i, block in enumerate(X):
            x = check_points(block, f'block {i} of X')
            if shapes and x.shape[1] != shapes[0][1]:
                raise ValueError(f'block {i} of X has {x.shape[1]} features, '
                                 f'block 0 has {shapes[0][1]}')
            shapes.append(x.shape)
            n_samples += len(x)
            if n_weights is not None and n_weights < n_samples:
                break
            weight = self._weight_of(x, n_samples - len(x))
            if weight is not None:
                weight = check_sample_weight(weight, x)
            dtypes.append(x.dtype)
            totals.append(_total_weight(x, weight))
        if not shapes:
            raise ValueError('X gives no blocks: it must give at least one')
        if n_weights is not None and n_weights != n_samples:
            more = '' if n_weights > n_samples else ' or more'
            raise ValueError(
                f'sample_weight has shape {self._sample_weight.shape}: it '
                f'must have an entry for each sample in X, which has '
                f'{n_samples}{more}')
        self._dtype = numpy.result_type(*dtypes)
        super().__init__(
            map(n_points, shapes), shapes[0][1], self._dtype,
            get_array_module(x), sum(totals), sample_weight is not None)

    def _weight_of(self, x, start):
        if self._sample_weight is None:
            return None
        return get_array_module(x).asarray(
            self._sample_weight[start:start + len(x)])

    def _read(self):
        """Yields stacks and their weights, the same as the first time."""
        start = 0
        for block, shape in itertools.zip_longest(self._blocks, self._shapes):
            x = None
            if block is not None and shape is not None:
                x = as_floating(get_array_module(block).asarray(block))
            if x is None or x.shape != shape:
                raise ValueError(
                    f'X gave {len(self._shapes)} blocks at first, and others, '
                    'more or fewer when it was gone through again')
            yield as_stack(x.astype(self._dtype, copy=False),
                           self._weight_of(x, start))
            start += len(x)

    def map(self, function, arguments=None):
        if arguments is None:
            return [function(*block) for block in self._read()]
        return [None if argument is None else function(*block, argument)
                for block, argument in zip(self._read(), arguments)]

    def sum(self, function, add=operator.add):
        # Sums of so many blocks as powers of 2 make up, the largest first.
        sums = []
        for n, block in enumerate(self._read(), 1):
            sums.append(function(*block))
            while n % 2 == 0:
                last = sums.pop()
                sums.append(add(sums.pop(), last))
                n //= 2
        return functools.reduce(lambda a, b: add(b, a), reversed(sums))


class DaskBlocks(Blocks):

    """A Dask array, each chunk of it a block.

    Args:
        X (dask.array.Array): Points ``(M, C)`` or ``(N, C, *S)``.
        sample_weight (dask.array.Array, array-like or None): Weights ``(M,)``
            or ``(N, *S)``.

    Raises:
        ValueError: If it does not hold finite points, or weights do not fit.

    """

    def __init__(self, X, sample_weight=None):
        X = whole_points(X)
        # A selection can leave a chunk without points.
        kept = numpy.flatnonzero(X.chunks[0])
        self._x = X.to_delayed().ravel()[kept]
        self._sample_weight = [None] * len(kept)
        if sample_weight is not None:
            self._sample_weight = _weight_chunks(X, sample_weight)[kept]
        sizes = [n_points((X.chunks[0][i],) + X.shape[1:]) for i in kept]
        kinds, totals = zip(*self.map(_check_block, [
            (i, size, X.shape[1]) for i, size in zip(kept, sizes)]))
        super().__init__(
            sizes, X.shape[1], X.dtype, get_array_module(kinds[0]),
            sum(totals), sample_weight is not None)

    def _tasks(self, function, arguments=None):
        import dask
        if arguments is None:
            arguments = [()] * len(self._x)
        return [
            None if argument is None else dask.delayed(functools.partial(
                _on_block, function, argument), pure=False)(x, weight)
            for x, weight, argument in zip(
                self._x, self._sample_weight, arguments)]

    def map(self, function, arguments=None):
        import dask
        if arguments is not None:
            arguments = [None if argument is None else (argument,)
                         for argument in arguments]
        return list(dask.compute(*self._tasks(function, arguments)))

    def sum(self, function, add=operator.add):
        import dask
        parts = self._tasks(function)
        while len(parts) > 1:
            parts = [
                dask.delayed(functools.partial(_add_up, add), pure=False)(
                    *parts[i:i + _FAN_IN])
                for i in range(0, len(parts), _FAN_IN)]
        return parts[0].compute()


def whole_points(X):
    """Returns a Dask array of a floating dtype whose chunks hold whole points.

    Args:
        X (dask.array.Array): Points ``(M, C)`` or ``(N, C, *S)``.

    Returns:
        dask.array.Array: The same points.

    Raises:
        ValueError: If its shape or its dtype are not those of points.

    """
    if X.dtype.kind not in 'biuf':
        raise ValueError(f'X has dtype {X.dtype}: it must be real')
    if any(math.isnan(n) for n in X.shape):
        raise ValueError('X has chunks of unknown size: call its '
                         'compute_chunk_sizes() first')
    if X.ndim < 2 or X.size == 0:
        raise ValueError(
            f'X has shape {X.shape}: it must be (points, dimensions), or '
            '(samples, dimensions, *spatial), and hold at least one point')
    return as_floating(X).rechunk({axis: -1 for axis in range(1, X.ndim)})


def as_stack(x, sample_weight):
    """Views points and their weights as stacks ``(B, C, L)``, ``(B, L)``."""
    z = stack(x)
    return z, None if sample_weight is None else sample_weight.reshape(
        z.shape[0], z.shape[2])


def n_points(shape):
    """Returns the number of points in an array ``(N, C, *S)``."""
    return shape[0] * math.prod(shape[2:])


def _total_weight(x, sample_weight):
    """Returns how much points ``(N, C, *S)`` count all together."""
    if sample_weight is None:
        return n_points(x.shape)
    return float(sample_weight.sum(dtype=numpy.float64))


def _weight_chunks(X, sample_weight):
    """Divides weights as the points are divided."""
    import dask.array
    shape = X.shape[:1] + X.shape[2:]
    if not is_dask(sample_weight):
        sample_weight = as_weights(sample_weight)
    elif sample_weight.dtype.kind not in 'biuf':
        raise ValueError(f'sample_weight has dtype {sample_weight.dtype}: it '
                         'must be real')
    if sample_weight.shape != shape:
        raise ValueError(f'sample_weight has shape {sample_weight.shape}: it '
                         f'must be {shape}')
    chunks = X.chunks[:1] + X.chunks[2:]
    if is_dask(sample_weight):
        return sample_weight.rechunk(chunks).to_delayed().ravel()
    return dask.array.from_array(sample_weight, chunks).to_delayed().ravel()


def _on_block(function, argument, x, sample_weight):
    """Applies a function to a chunk."""
    with device_of(x):
        if sample_weight is not None:
            sample_weight = get_array_module(x).asarray(
                sample_weight, dtype=numpy.float64)
        return function(*as_stack(x, sample_weight), *argument)


def _add_up(add, *parts):
    return functools.reduce(add, parts)


def _check_block(x, sample_weight, announced):
    """Checks a chunk; returns an array of its kind and how much it counts."""
    number, size, n_dims = announced
    if (n_points(x.shape), x.shape[1]) != (size, n_dims):
        raise ValueError(
            f'block {number} of X has {n_points(x.shape)} points and '
            f'{x.shape[1]} features: by its chunks X has {size} and {n_dims} '
            'there')
    check_points(x, f'block {number} of X')
    if sample_weight is not None:
        check_sample_weight(sample_weight, x)
    return get_array_module(x).empty(0), _total_weight(x, sample_weight)
