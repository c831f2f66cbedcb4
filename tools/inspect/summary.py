"""A table of a model's normalizations, and what to know of them."""

import copy
import math
import textwrap

import chainer
import numpy

from mixnorm.inspection import read_state
from mixnorm.inspection.state import noun_of
from train.text_table import text_table

# Above it a point counts as belonging to one component.
_CERTAIN = .95

# A component with more than this has nearly all points.
_ALL = .95

# Relative difference of test and training output that is worth a word. Fits
# of neighbouring mini-batches differ by about 0.4.
_FAR = .7

# Components that are nearer to each other, in deviations, are hardly two.
_NEAR = .5

# A fit keeps variances above this share of the channel's.
_RELATIVE_FLOOR = 1e-6


def summarize(layers):
    """Computes the figures of layers.

    Args:
        layers (dict): Maps paths to :class:`~tools.inspect.layers.Layer`.

    Returns:
        list of dict: For each layer ``'path'`` and ``'kind'``, the link's
        class; ``'n_components'``; ``'n_effective'``; ``'weights'``, a list;
        ``'distance'`` of the two components that are nearest to each other,
        in deviations; ``'certain'``, the share of points whose posterior is
        above 0.95; ``'entropy'``, the mean of the posterior's, in nats;
        ``'test_difference'``, see :func:`difference`; and ``'warnings'``, a
        list of str. What a layer does not have is ``None``.

    """
    return [_summarize(path, layer) for path, layer in layers.items()]


def _summarize(path, layer):
    row = dict.fromkeys((
        'path', 'kind', 'n_components', 'n_effective', 'weights', 'distance',
        'certain', 'entropy', 'test_difference'))
    row.update(path=path, kind=type(layer.link).__name__, warnings=[],
               test_difference=difference(layer.link, layer.x))
    if row['test_difference'] > _FAR:
        row['warnings'].append(
            'the test output is far from the training output of the same '
            f"images (by {row['test_difference']:.2f} of its deviation): the "
            'statistics that serve the test are those of other weights, or '
            'the fits differ from batch to batch')
    if layer.kind is None:
        return row
    row['n_components'] = (layer.link.n_modes if 'mode' in layer.kind
                           else layer.link.n_components)
    state = read_state(layer.link)
    if state is not None:
        row['n_effective'] = state.n_effective
    if layer.posterior is None:
        return row
    weights = numpy.moveaxis(layer.posterior, 1, 0).reshape(
        layer.posterior.shape[1], -1).mean(axis=1, dtype=numpy.float64)
    if layer.kind == 'mixture':
        weights = state.weights
    else:
        row['n_effective'] = float((weights >= .01).sum())
    row.update(
        weights=[float(weight) for weight in weights],
        certain=certain_share(layer.posterior),
        entropy=mean_entropy(layer.posterior))
    if len(state.means if state is not None else ()):
        row['distance'] = distance(
            weights, *(z.reshape(len(weights), -1)
                       for z in (state.means, state.variances)))
        if row['distance'] is not None and row['distance'] < _NEAR:
            row['warnings'].append(
                f"two {noun_of(layer.link)}s are {row['distance']:.2f} "
                'deviations apart: they normalize alike, and fewer would do')
        row['warnings'] += _floor_warnings(layer.link, weights, state)
    row['warnings'] += _weight_warnings(layer, weights)
    return row


def difference(link, x):
    """Compares what a link makes of a mini-batch in test and in training.

    Args:
        link (~chainer.Link): The link, which does not change.
        x (array): Its input.

    Returns:
        float: Root of the mean squared difference of the outputs, as a
        multiple of the training output's standard deviation.

    """
    outputs = []
    for train in (False, True):
        one = copy.deepcopy(link)
        with chainer.using_config('train', train), \
                chainer.no_backprop_mode():
            outputs.append(chainer.get_device('@numpy').send(
                one(one.device.send(x)).array).astype(numpy.float64))
    test, training = outputs
    return float(numpy.sqrt(((test - training) ** 2).mean())
                 / (training.std() or 1))


def certain_share(posterior):
    """Returns the share of points of which one component has over 0.95.

    Args:
        posterior (numpy.ndarray): ``(N, K, *S)``.

    Returns:
        float: The share.

    """
    return float((posterior.max(axis=1) > _CERTAIN).mean())


def mean_entropy(posterior):
    """Returns the mean entropy of the points' posterior, in nats.

    Args:
        posterior (numpy.ndarray): ``(N, K, *S)``.

    Returns:
        float: From 0, all points certain, to ``log K``.

    """
    logs = numpy.log(numpy.where(posterior > 0, posterior, 1))
    return float(-(posterior * logs).sum(axis=1).mean(dtype=numpy.float64))


def distance(weights, means, variances):
    """Returns how far apart the two nearest components are.

    ``sqrt(sum_c (m_jc - m_kc)^2 / ((s_jc^2 + s_kc^2) / 2))``: of 2, one in
    six points of a component lies nearer to the other.

    Args:
        weights (numpy.ndarray): ``(K,)``; components of weight 0 do not
            count.
        means (numpy.ndarray): ``(K, C)``.
        variances (numpy.ndarray): ``(K, C)``.

    Returns:
        float or None: The distance in deviations; ``None`` of less than two
        components.

    """
    kept = numpy.flatnonzero(weights > 0)
    found = [
        _distance(means[j], means[k], (variances[j] + variances[k]) / 2)
        for i, j in enumerate(kept) for k in kept[:i]]
    return min(found, default=None)


def _distance(one, other, variance):
    gap = (one.astype(numpy.float64) - other) ** 2
    # A channel that is constant tells nothing apart.
    return math.sqrt((gap[variance > 0] / variance[variance > 0]).sum())


def _floor_warnings(link, weights, state):
    shape = (-1,) + (1,) * (state.means.ndim - 1)
    share = weights.reshape(shape)
    mean = (share * state.means).sum(axis=0)
    total = (share * (state.variances + (state.means - mean) ** 2)).sum(axis=0)
    floor = numpy.maximum(_RELATIVE_FLOOR * total, link.eps)
    kept = weights > 0
    n = int((state.variances[kept] <= floor).sum())
    if n == 0:
        return []
    return [f'{n} of {state.variances[kept].size} variances are at the floor '
            f'(eps {link.eps:g}, or a millionth of the channel\'s): these '
            'channels are constant within a component, or too small for eps']


def _weight_warnings(layer, weights):
    warnings = []
    name, in_all = noun_of(layer.link), ''
    greatest = weights
    if layer.kind == 'mixture':
        entries = layer.link.queue
        n_entries = len(entries.weights)
        in_all = f' in the {n_entries} mini-batches of the queue'
        greatest = chainer.get_device('@numpy').send(
            entries.weights).max(axis=0)
        if layer.link.inference == 'parameters' and (
                n_entries < layer.link.queue_size):
            warnings.append(
                f'the queue holds {n_entries} of {layer.link.queue_size} '
                'mini-batches: the run is too young for its test output')
    empty = [str(k) for k in numpy.flatnonzero(greatest < .01)]
    if empty:
        warnings.append(f"{name} {', '.join(empty)} of {len(weights)} holds "
                        f'less than 1 %{in_all}: fewer would do')
    if len(weights) > 1 and weights.max() > _ALL:
        warnings.append(
            f'{name} {weights.argmax()} has {weights.max():.1%} of the points:'
            ' the layer does little more than batch normalization')
    return warnings


TITLES = ('layer', 'kind', 'K', 'kept', 'weights', 'distance', 'certain',
          'entropy', 'test')

EXPLANATION = (
    'distance: between the two nearest components, in deviations; certain: '
    'share of points whose posterior is above 0.95; entropy: mean of the '
    "posterior's, in nats; test: difference of test and training output of "
    'the same images, as a multiple of the deviation')


def cells(row):
    """Returns a layer's figures as the table prints them.

    Args:
        row (dict): One that :func:`summarize` returned.

    Returns:
        list: A str for each of ``TITLES``, ``None`` for what there is not.

    """
    def number(key, spec):
        return None if row[key] is None else format(row[key], spec)

    return [row['path'], row['kind'], number('n_components', 'd'),
            number('n_effective', '.4g'),
            None if row['weights'] is None else ' '.join(
                f'{weight:.2f}' for weight in row['weights']),
            number('distance', '.1f'), number('certain', '.0%'),
            number('entropy', '.2f'), number('test_difference', '.2f')]


def as_text(rows):
    """Returns the table and the warnings as text."""
    lines = [text_table([TITLES, *map(cells, rows)]), '',
             textwrap.fill(EXPLANATION, 79)]
    lines += [f"warning: {row['path']}: {warning}"
              for row in rows for warning in row['warnings']]
    return '\n'.join(lines)
