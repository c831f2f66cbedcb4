"""The sets of points that mixtures are fitted to."""

import os
import typing

import numpy

from train.command_line import one_line, UserError


class PointSet(typing.NamedTuple):

    """A set of points.

    Attributes:
        name (str): What it is called.
        description (str): What it is, in a line.
        points (numpy.ndarray): ``(M, C)``, float32 or float64.
        n_components (int): Number of components ``K`` to fit.
        axis (str): What a dimension is called.
        groups (numpy.ndarray or None): The group ``(M,)`` that each point was
            drawn from, where it is known.

    """

    name: str
    description: str
    points: numpy.ndarray
    n_components: int
    axis: str = 'dimension'
    groups: typing.Optional[numpy.ndarray] = None


_N_POINTS = 2000
_CORNERS = numpy.array([[0., 0.], [1., 0.], [0., 1.]])


class _Synthetic(typing.NamedTuple):

    """Gaussian groups: what they are, and K."""

    description: str
    means: typing.Callable  # From a RandomState to (G, C).
    deviations: typing.Any = 1.
    weights: tuple = (1 / 3, 1 / 3, 1 / 3)
    dtype: str = 'float64'
    n_components: int = 3


def _corners(side, origin=0.):
    return lambda random: side * _CORNERS + origin


# In the order of rising difficulty.
_SYNTHETIC = {
    'separated': _Synthetic('three groups, 10 deviations apart', _corners(10)),
    'overlapping': _Synthetic('three groups, 2 deviations apart', _corners(2)),
    'weights': _Synthetic(
        'groups of 90, 9 and 1 % of the points, 5 deviations apart',
        _corners(5), weights=(.9, .09, .01)),
    'variances': _Synthetic(
        'groups with deviations of 0.01, 1 and 10, 2 apart', _corners(2),
        deviations=numpy.array([[.01], [1.], [10.]])),
    'dimensions': _Synthetic(
        'five groups in 64 dimensions', lambda random: random.randn(5, 64),
        weights=(.2,) * 5, n_components=5),
    'surplus': _Synthetic(
        'three groups, 10 deviations apart, and eight components',
        _corners(10), n_components=8),
    'float32': _Synthetic(
        'three groups, 2 deviations apart, in single precision', _corners(2),
        dtype='float32'),
    'singular': _Synthetic(
        'a dimension that hardly varies, by 1e-6 about 1, beside two that do',
        lambda random: numpy.insert(5 * _CORNERS, 2, 1, axis=1),
        deviations=numpy.array([[1., 1., 1e-6]])),
    'far': _Synthetic(
        'three groups, 2 deviations apart and 1000 from the origin',
        _corners(2, 1000.)),
}

SYNTHETIC = tuple(_SYNTHETIC)


def synthetic(name, seed):
    """Draws a synthetic set.

    Args:
        name (str): One of ``SYNTHETIC``.
        seed (int): Seed of the draws.

    Returns:
        PointSet: The set, of 2000 points.

    """
    kind = _SYNTHETIC[name]
    random = numpy.random.RandomState(seed)
    means = kind.means(random)
    groups = random.choice(len(means), _N_POINTS, p=kind.weights)
    deviations = numpy.broadcast_to(kind.deviations, means.shape)
    points = means[groups] + deviations[groups] * random.randn(
        _N_POINTS, means.shape[1])
    return PointSet(name, kind.description, points.astype(kind.dtype),
                    kind.n_components, groups=groups)


def from_file(path, n_components, n_points, seed):
    """Reads points from an .npy file.

    Args:
        path (str): The file: real numbers ``(M, C)``, or activations
            ``(N, C, *S)``, whose points are the channel vectors at every
            position.
        n_components (int): Number of components ``K`` to fit.
        n_points (int): How many points to use at most.
        seed (int): Seed of the choice among more.

    Returns:
        PointSet: The set.

    Raises:
        UserError: If the file is not there or holds something else.

    """
    try:
        values = numpy.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise UserError(f'--npy {path} is no .npy file of numbers '
                        f'({one_line(error)})')
    if not isinstance(values, numpy.ndarray):
        raise UserError(f'--npy {path} holds several arrays: save the one to '
                        'fit with numpy.save')
    if values.dtype.kind not in 'fiu' or values.ndim < 2:
        raise UserError(
            f'--npy {path} holds {values.dtype} of shape {values.shape}: it '
            'must be real numbers of shape (M, C) or (N, C, ...)')
    return _chosen(
        os.path.splitext(os.path.basename(path))[0], path, [values],
        n_components, n_points, seed, 'dimension', f'--npy {path}')


def from_layer(path, inputs, n_components, n_points, seed):
    """Takes as points what reaches a layer.

    Args:
        path (str): The layer's path in its model.
        inputs (list of numpy.ndarray): Activations ``(N, C, *S)``.
        n_components (int): Number of components ``K`` to fit.
        n_points (int): How many points to use at most.
        seed (int): Seed of the choice among more.

    Returns:
        PointSet: The set.

    Raises:
        UserError: If nothing reaches the layer, or no finite numbers do.

    """
    if not inputs:
        raise UserError(f'no image reaches {path}: the model never calls it')
    return _chosen(path.strip('/'), f'what reaches {path}', inputs,
                   n_components, n_points, seed, 'channel', path)


def _chosen(name, description, arrays, n_components, n_points, seed, axis,
            where):
    if not all(z.size for z in arrays):
        raise UserError(f'{where} holds no points: its shape is '
                        f'{arrays[0].shape}')
    points = numpy.concatenate([
        numpy.moveaxis(z, 1, -1).reshape(-1, z.shape[1]) for z in arrays])
    dtype = {2: numpy.float32, 4: numpy.float32}.get(
        points.dtype.itemsize if points.dtype.kind == 'f' else None,
        numpy.float64)
    if len(points) > n_points:
        description += f', {n_points} of {len(points)} points'
        points = points[numpy.sort(numpy.random.RandomState(seed).choice(
            len(points), n_points, replace=False))]
    points = numpy.ascontiguousarray(points, dtype)
    if not numpy.isfinite(points).all():
        raise UserError(f'{where} holds values that are not finite')
    with numpy.errstate(over='ignore'):
        variances = points.var(axis=0, dtype=numpy.float64).astype(dtype)
    if not numpy.isfinite(variances).all():
        raise UserError(f'{where} holds values whose variances {points.dtype} '
                        'cannot hold: scale them')
    if len(points) < max(2, n_components):
        raise UserError(
            f'--components {n_components}: {where} has {len(points)} points, '
            'and a fit needs as many as components, and two at least')
    return PointSet(name, description, points, n_components, axis)
