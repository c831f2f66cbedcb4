"""Names of the package of functions."""
import importlib
import inspect
import pickle
import pkgutil
from unittest import mock

import chainer
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
