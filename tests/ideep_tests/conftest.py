"""Fixtures of the tests of the operators that stand in for iDeep's."""

import functools

from chainer.backends import intel64
import pytest

from mixnorm import ideep


# Whatever computes: class of the interface and method.
_OPERATORS = {
    'batchNormalization': ('Forward', 'Backward'),
    'concat': ('Forward', 'Backward'),
    'convolution2D': ('Forward', 'BackwardWeights', 'BackwardData'),
    'dropout': ('Forward', 'Backward'),
    'linear': ('Forward', 'BackwardWeights', 'BackwardData'),
    'localResponseNormalization': ('Forward', 'Backward'),
    'pooling2D': ('Forward', 'Backward'),
    'relu': ('Forward', 'Backward'),
}


@pytest.fixture
def used(monkeypatch):
    """The names of the operators that are used, such as 'relu.Forward'.

    The test is skipped where there are none.
    """
    if not intel64.is_ideep_available():
        pytest.skip(str(ideep.reason_unavailable()))
    names = set()

    def recorded(name, function):
        @functools.wraps(function)
        def call(*args):
            names.add(name)
            return function(*args)
        return call

    for operator, methods in _OPERATORS.items():
        interface = getattr(ideep, operator)
        for method in methods:
            monkeypatch.setattr(interface, method, staticmethod(recorded(
                f'{operator}.{method}', getattr(interface, method))))
    monkeypatch.setattr(
        ideep, 'multi_add', recorded('multi_add', ideep.multi_add))
    return names
