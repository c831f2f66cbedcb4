"""The examples in mixnorm's docstrings run and print what they say."""
import doctest
import importlib
import inspect
import pkgutil
import re

import numpy
import pytest

import mixnorm


_MODULES = ['mixnorm'] + sorted(
    module.name for module in pkgutil.walk_packages(
        mixnorm.__path__, 'mixnorm.'))


def test_modules_are_found():
    assert 'mixnorm.links.mixture_normalization' in _MODULES


@pytest.mark.parametrize('name', _MODULES)
def test_examples(name):
    numpy.random.seed(0)
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as e:
        if e.name not in ('cupy', 'onnx', 'torch'):
            raise
        pytest.skip(f'it needs {e.name}')
    results = doctest.testmod(
        module, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert results.failed == 0, 'see the output above'


@pytest.mark.parametrize('name', [
    'mixnorm.links.MixtureNormalization',
    'mixnorm.functions.mixture_normalization',
    'mixnorm.mixture.DiagonalGaussianMixture'])
def test_public_names_have_an_example(name):
    module, _, attribute = name.rpartition('.')
    documented = getattr(importlib.import_module(module), attribute)
    examples = doctest.DocTestFinder(recurse=False).find(documented)
    assert any(example.examples for example in examples)


@pytest.mark.parametrize('package', [mixnorm.functions, mixnorm.links])
def test_lines_of_equations_end_in_two_backslashes(package):
    for name in package.__all__:
        text = inspect.getdoc(getattr(package, name))
        assert not re.findall(r'^.*[^\\]\\$', text, re.MULTILINE), name
