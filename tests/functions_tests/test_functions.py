"""Names of the package of functions."""
import importlib
import inspect
import pickle
import pkgutil
from unittest import mock

import chainer
import numpy
import pytest

import mixnorm


def _nodes():
    """All classes of nodes, with the modules that define them imported."""
    for module in pkgutil.walk_packages(
            mixnorm.functions.__path__, 'mixnorm.functions.'):
        for value in vars(importlib.import_module(module.name)).values():
            if (inspect.isclass(value)
                    and issubclass(value, chainer.FunctionNode)
                    and value.__module__ == module.name):
                yield value


def test_nodes_are_found():
    names = {node.__name__ for node in _nodes()}
    assert {'MixtureNormalization', 'FixedMixtureNormalization',
            'GroupMixtureNormalization', 'GatedModeNormalization',
            'GatedModeGroupNormalization'} <= names


@pytest.mark.parametrize(
    'node', list(_nodes()), ids=lambda node: node.__name__)
def test_node_is_reached_by_its_name(node):
    found = mixnorm
    for name in f'{node.__module__}.{node.__qualname__}'.split('.')[1:]:
        found = getattr(found, name)
    assert found is node
    assert pickle.loads(pickle.dumps(node)) is node
    with mock.patch(f'{node.__module__}.{node.__qualname__}.label', 'patched'):
        assert node.label == 'patched'


def test_exported_names():
    exported = mixnorm.functions.__all__
    assert exported == sorted(exported)
    assert set(exported) == {
        name for name, value in vars(mixnorm.functions).items()
        if inspect.isfunction(value)}


# By name, for inputs of 6 samples, 4 channels and 2 components or modes.
_ARGUMENTS = {
    'x': (6, 4), 'gamma': (4,), 'beta': (4,), 'rho': (4,), 'mean': (4,),
    'var': (4,), 'posterior': (6, 2), 'gates': (6, 2)}
_OTHER_ARGUMENTS = {
    'divisive_normalization': {'rho': (1,)},
    'fixed_mixture_normalization': {
        'weights': (1, 2), 'means': (1, 2, 4), 'variances': (1, 2, 4),
        'factors': (1,)},
    'fixed_mode_normalization': {'mean': (2, 4), 'sqmean': (2, 4)},
    'group_mixture_normalization': dict.fromkeys(
        ('weights', 'means', 'variances'), (6, 2, 2)),
    'mode_group_normalization': {'gates': (6, 4, 2)}}


def _call(name, **options):
    function = getattr(mixnorm.functions, name)
    shapes = dict(_ARGUMENTS, **_OTHER_ARGUMENTS.get(name, {}))
    arguments = {key: numpy.full(shapes[key], .5, 'f')
                 for key in inspect.signature(function).parameters
                 if key in shapes}
    if 'groups' in inspect.signature(function).parameters:
        arguments['groups'] = 2
    return function(**arguments, **options)


@pytest.mark.parametrize('name', mixnorm.functions.__all__)
def test_eps_out_of_range(name):
    assert _call(name, eps=1).shape == (6, 4)
    for eps in (-1e-5, float('nan'), float('inf'), 'a', None):
        with pytest.raises(ValueError, match=f'eps is {eps!r}: it must be'):
            _call(name, eps=eps)
