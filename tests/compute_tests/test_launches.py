"""What a training step asks of a GPU, counted by a stand-in for CuPy."""
import json
import os
import subprocess
import sys

import chainer
import numpy
import pytest

import mixnorm
from mixnorm.links import (
    MixtureNormalization, ModeGroupNormalization, ModeNormalization)


_TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# Kernels, memsets and copies of a step on (256, 128, 8, 8).
_MOST = {
    'batch': 14,
    'mixture': 16,
    'mixture, in several launches': 30,
    'mixture, warm start': 16,
    'mixture, affine by component': 16,
    'mode': 12,
    'mode, by channel': 9,
}

# The same of a pass in test mode, after one of the same training.
_MOST_IN_TEST_MODE = {
    'batch': 4,
    'mixture': 10,
    'mixture, warm start': 10,
    'mixture, affine by component': 13,
    'mode': 5,
    'mode, by channel': 4,
}


@pytest.fixture(scope='module')
def recorded(libraries):
    done = subprocess.run(
        [sys.executable, '-m', 'compute_tests.recorded_steps',
         json.dumps(libraries)], cwd=_TESTS, stdout=subprocess.PIPE,
        check=True, env=dict(os.environ, PYTHONPATH=os.pathsep.join(
            [os.path.dirname(os.path.dirname(mixnorm.__file__))]
            + sys.path)))
    return json.loads(done.stdout.decode().splitlines()[-1])


@pytest.mark.parametrize('name', sorted(_MOST))
def test_operations(recorded, name):
    for counts in recorded['counts'][name][1:]:
        print(name, counts)
        assert sum(counts.get(kind, 0) for kind in (
            'launches', 'memsets', 'copies')) <= _MOST[name]


@pytest.mark.parametrize('name', sorted(_MOST))
def test_nothing_waits_or_allocates(recorded, name):
    for i, counts in enumerate(recorded['counts'][name][1:]):
        # The second step holds the weights that the first one left, a block
        # of the least size, which CuPy's pool cuts off a larger one; with a
        # warm start, its fit is another than the first's.
        assert counts.get('allocations', 0) <= 2 * (i == 0)
        # A warm start asks what the mini-batch before found.
        assert counts.get('synchronizations', 0) == (
            name == 'mixture, warm start')


@pytest.mark.parametrize('name', sorted(_MOST_IN_TEST_MODE))
def test_operations_in_test_mode(recorded, name):
    counts = recorded['test mode'][name][1]
    assert sum(counts.get(kind, 0) for kind in (
        'launches', 'memsets', 'copies')) <= _MOST_IN_TEST_MODE[name]
    assert counts.get('synchronizations', 0) == 0


def test_works_on_the_arrays_device(recorded):
    # While another is the current one.
    assert len(recorded['elsewhere']) > 20
    assert not any(recorded['elsewhere'].values()), recorded['elsewhere']
    for steps in [*recorded['counts'].values(),
                  *recorded['test mode'].values()]:
        assert not any(counts.get('strays', 0) for counts in steps)


def test_recorder_counts():
    # Of what it must not miss: memory, what waits, what is mixed.
    code = '''
import cupy, numpy
z = cupy.asarray(numpy.arange(6.))
y = (z + 1) * cupy.zeros(6)
assert float(y.sum()) == 0 and bool((y == 0).all())
assert y.argsort().get().tolist() == list(range(6))
try:
    z + numpy.ones(6)
except TypeError:
    pass
else:
    raise AssertionError
kinds = {}
for (kind, _), n in cupy.recorder.counts.items():
    kinds[kind] = kinds.get(kind, 0) + n
assert kinds['launches'] == 2 + 1 + 2 + 1, kinds
assert kinds['memsets'] == 1 and kinds['copies'] == 2, kinds
assert kinds['synchronizations'] == 2 + 1 + 1, kinds
assert kinds['allocations'] >= 3, kinds
before = kinds['allocations']
with cupy.cuda.Device(1):
    y = z.astype('f')  # lies on device 0
    w = cupy.ones(6)
    assert (y.device.id, w.device.id, w[2:].device.id) == (1, 1, 1)
assert 'strays' not in kinds
w[2:] + w[2:]
strays = [name for kind, name in cupy.recorder.counts if kind == 'strays']
assert strays == ['astype', 'add'], strays
for _ in range(3):
    z + 1
after = sum(n for (kind, _), n in cupy.recorder.counts.items()
            if kind == 'allocations')
assert after == before, (before, after)
'''
    subprocess.run([sys.executable, '-c', code], check=True, cwd=os.path.join(
        _TESTS, 'compute_tests', 'recorded_cupy'))


@pytest.mark.parametrize('name,kind,options', [
    ('mixture', MixtureNormalization, {}),
    ('mixture, in several launches', MixtureNormalization, {}),
    ('mixture, warm start', MixtureNormalization, {'warm_start': True}),
    ('mixture, affine by component', MixtureNormalization,
     {'affine': 'component'}),
    ('mode', ModeNormalization, {}),
    ('mode, by channel', ModeGroupNormalization, {})])
def test_outputs(recorded, name, kind, options):
    # The whole path, from the link to the kernels, against NumPy's.
    shape = 16, 5, 4, 4
    arrays = []
    for seed in range(2):
        random = numpy.random.RandomState(seed)
        group = random.randint(3, size=(shape[0], 1) + shape[2:])
        arrays.append((random.randn(*shape) + 3 * group).astype('f'))
    if kind is MixtureNormalization:
        options = dict(options, seed=0)
    numpy.random.seed(0)
    link = kind(5, **options)
    for _ in range(2):
        x = chainer.Variable(arrays[0])
        link.cleargrads()
        y = link(x)
        y.grad = arrays[1]
        y.backward()
    for actual, expected in zip(recorded['outputs'][name], (
            y.array, x.grad, link.gamma.grad, link.beta.grad)):
        numpy.testing.assert_allclose(
            actual, expected, atol=1e-3 * abs(expected).max())
