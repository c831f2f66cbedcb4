import inspect
import typing

import pytest

from mixnorm.compute import contract
from mixnorm.compute import cpu
from mixnorm.compute import gpu


_FUNCTIONS = [
    (module, name)
    for module, protocol in typing.get_type_hints(contract.Arithmetic).items()
    for name, value in vars(protocol).items()
    if inspect.isfunction(value) and not name.startswith('_')]


def _parameters(function):
    return [(p.name, p.kind, p.default)
            for p in inspect.signature(function).parameters.values()]


def test_functions_are_found():
    assert {module for module, _ in _FUNCTIONS} == {
        'coefficients', 'fit', 'mixture', 'modes', 'rows', 'sample', 'seeding',
        'transform'}
    assert ('mixture', 'em_step') in _FUNCTIONS


@pytest.mark.parametrize('package', [cpu, gpu], ids=['cpu', 'gpu'])
@pytest.mark.parametrize('module,name', _FUNCTIONS)
def test_both_packages_have_it(package, module, name):
    protocol = typing.get_type_hints(contract.Arithmetic)[module]
    expected = getattr(protocol, name)
    actual = getattr(getattr(package, module), name)
    assert _parameters(actual) == _parameters(expected)[1:]
    assert expected.__doc__ and actual.__doc__


@pytest.mark.parametrize('package', [cpu, gpu], ids=['cpu', 'gpu'])
def test_packages_have_nothing_else(package):
    assert sorted(package.__all__) == sorted(
        typing.get_type_hints(contract.Arithmetic))
