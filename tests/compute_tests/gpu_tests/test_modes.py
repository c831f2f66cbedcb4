"""Mode normalization by its kernels, against the equations in float64."""
import chainer
import numpy
import pytest

from functions_tests import mode_equations
from mixnorm import compute
from mixnorm.compute import cpu
from mixnorm.compute import gpu
from mixnorm.functions.normalization.fixed_mode_normalization import (
    FixedModeNormalization, GatedFixedModeNormalization)
from mixnorm.functions.normalization.mode_group_normalization import (
    GatedModeGroupNormalization, ModeGroupNormalization)
from mixnorm.functions.normalization.mode_normalization import (
    GatedModeNormalization, ModeNormalization)

_EPS = 5e-2
_TOLERANCE = {'float16': 1e-2, 'float32': 1e-4, 'float64': 1e-10}
_SHAPES = [(5, 3, 4), (1, 19, 3), (35, 9), (2, 260)]


class _Case:

    """Inputs of a kind of mode normalization, and its equations.

    The seed is fixed: a failure is one of the case's name.

    """

    def __init__(self, kind, shape, n_modes, dtype, per_mode, gated):
        self.kind = kind
        random = numpy.random.RandomState(0)
        n, c = shape[:2]
        self.x = (random.randn(*shape) + 3 * random.randn(
            n, c, *[1] * (len(shape) - 2))).astype(dtype)
        self.gy = random.randn(*shape).astype(dtype)
        leading = (n, c) if kind == 'group' else (n,)
        gates = random.uniform(.05, 1, leading + (n_modes,))
        gates /= gates.sum(axis=-1, keepdims=True)
        weight = random.randn(n_modes, *(() if kind == 'group' else (c,)))
        self.gated = gated
        gating = (.3 * weight, random.randn(n_modes)) if gated else (gates,)
        affine = random.randn(2, *((n_modes, c) if per_mode else (c,)))
        self.parameters = [z.astype(dtype) for z in (*gating, *affine)]
        self.mean = random.randn(n_modes, c)
        self.variance = random.uniform(.5, 2, (n_modes, c))

    def node(self):
        if self.kind == 'fixed':
            return (GatedFixedModeNormalization if self.gated
                    else FixedModeNormalization)(
                        self.mean, self.variance + self.mean ** 2, _EPS)
        if self.kind == 'group':
            return (GatedModeGroupNormalization if self.gated
                    else ModeGroupNormalization)(_EPS)
        return (GatedModeNormalization if self.gated
                else ModeNormalization)(_EPS)

    def run(self):
        """Returns the node's output and gradients, and the node."""
        node = self.node()
        inputs = [chainer.Variable(z) for z in (self.x, *self.parameters)]
        y, = node.apply(inputs)
        y.grad = self.gy
        y.backward()
        return [y.array] + [v.grad for v in inputs], node

    def expected(self):
        inputs = mode_equations.double(self.x, *self.parameters)
        x, *gating, gamma, beta = inputs
        if self.gated:
            compute_gates = (mode_equations.channel_gates
                             if self.kind == 'group'
                             else mode_equations.sample_gates)
            gating = [compute_gates(x, *gating)]
        if self.kind == 'fixed':
            y = mode_equations.fixed_mode_normalization(
                x, *gating, gamma, beta, *mode_equations.double(
                    self.mean, self.variance), _EPS)
        elif self.kind == 'group':
            y = mode_equations.mode_group_normalization(
                x, *gating, gamma, beta, _EPS)
        else:
            y = mode_equations.mode_normalization(
                x, *gating, gamma, beta, _EPS)
        found = chainer.grad(
            [y], inputs, mode_equations.double(self.gy))
        return [y.array] + [v.array for v in found]


@pytest.fixture
def kernels(emulated, monkeypatch):
    monkeypatch.setattr(compute, 'arithmetic', lambda x: gpu)
    return emulated.emulator


def _names(monkeypatch, emulator):
    """Lists the kernels that run."""
    names = []
    launch = gpu.modes.launcher.launch

    def record(source, name, *args):
        names.append(name)
        return launch(source, name, *args)

    monkeypatch.setattr(gpu.modes.launcher, 'launch', record)
    return names


def _assert_close(actual, expected, dtype):
    tolerance = _TOLERANCE[dtype]
    numpy.testing.assert_allclose(
        actual, expected, rtol=tolerance,
        atol=tolerance * (1e-2 + abs(expected).max(initial=0)))


@pytest.mark.parametrize('gated', [False, True])
@pytest.mark.parametrize('n_modes,per_mode', [
    (1, True), (2, False), (3, True), (4, False), (5, True), (6, False)])
@pytest.mark.parametrize('dtype', sorted(_TOLERANCE))
@pytest.mark.parametrize('kind', ['sample', 'group', 'fixed'])
def test_equations(kernels, monkeypatch, kind, dtype, n_modes, per_mode,
                   gated):
    case = _Case(kind, _SHAPES[n_modes % len(_SHAPES)], n_modes, dtype,
                 per_mode, gated)
    names = _names(monkeypatch, kernels)
    found, node = case.run()
    assert len(names) <= 10
    for actual, expected in zip(found, case.expected()):
        assert actual.dtype == dtype
        _assert_close(actual, expected, dtype)
    if gated:
        x, weight, bias, _, _ = mode_equations.double(
            case.x, *case.parameters)
        gates = (mode_equations.channel_gates if kind == 'group'
                 else mode_equations.sample_gates)(x, weight, bias)
        _assert_close(node.gates, gates.array, dtype)
    if kind == 'sample':
        gates = node.gates if gated else case.parameters[0]
        means, variances = mode_equations.moments(
            *mode_equations.double(case.x, gates))
        mean = numpy.stack([v.array for v in means])
        square = mean ** 2 + [v.array for v in variances]
        for actual, expected in zip(node.statistics, (mean, square)):
            assert actual.dtype == numpy.float64
            _assert_close(actual, expected, dtype)


@pytest.mark.parametrize('kind', ['sample', 'group', 'fixed'])
def test_far_from_zero(kernels, kind):
    case = _Case(kind, (20, 5, 9), 3, 'float64', False, True)
    case.x += 1e3
    case.mean += 1e3
    # Gates that do not see so far.
    case.parameters[0] *= 1e-3
    found, _ = case.run()
    for actual, expected in zip(found, case.expected()):
        numpy.testing.assert_allclose(
            actual, expected, rtol=1e-7, atol=1e-7 * abs(expected).max())


@pytest.mark.parametrize('dtype', ['float32', 'float64'])
@pytest.mark.parametrize('kind', ['sample', 'group'])
def test_mode_without_members(kernels, kind, dtype):
    case = _Case(kind, (6, 4, 5), 3, dtype, False, False)
    gates = case.parameters[0]
    gates[..., 1] = 0
    found, _ = case.run()
    without = _Case(kind, (6, 4, 5), 2, dtype, False, False)
    without.x, without.gy = case.x, case.gy
    without.parameters = [gates[..., ::2].copy(), *case.parameters[1:]]
    expected = without.expected()
    if kind == 'group':
        # The mean over modes counts the empty one: it maps x by 1 / sqrt(eps).
        return _assert_finite(found)
    _assert_close(found[0], expected[0], dtype)
    _assert_close(found[1], expected[1], dtype)
    _assert_finite(found)


def _assert_finite(arrays):
    assert all(numpy.isfinite(z).all() for z in arrays)


@pytest.mark.parametrize('kind', ['sample', 'group'])
def test_values_that_are_not_finite(kernels, kind):
    case = _Case(kind, (6, 4, 5), 2, 'float32', False, True)
    case.x[2, 1, 3] = numpy.nan
    (y, *_), node = case.run()
    is_spoiled = numpy.isnan(node.gates).all(axis=-1)
    if kind == 'group':
        assert numpy.argwhere(is_spoiled).tolist() == [[2, 1]]
        spoiled = numpy.arange(6) == 2
    else:
        # A sample without gates is in every mode's moments.
        assert numpy.argwhere(is_spoiled).tolist() == [[2]]
        spoiled = numpy.full(6, True)
    assert numpy.isfinite(node.gates[~is_spoiled]).all()
    assert numpy.isnan(y[spoiled]).all()
    assert numpy.isfinite(y[~spoiled]).all()


@pytest.mark.parametrize('gated', [False, True])
@pytest.mark.parametrize('shape', [(0, 3, 4), (2, 0, 4)], ids=str)
@pytest.mark.parametrize('kind', ['sample', 'group', 'fixed'])
def test_no_rows(kernels, kind, shape, gated):
    case = _Case(kind, shape, 2, 'float32', False, gated)
    found, _ = case.run()
    for actual, value in zip(found, (case.x, case.x, *case.parameters)):
        numpy.testing.assert_array_equal(actual, numpy.zeros_like(value))


@pytest.mark.parametrize('kind', ['sample', 'group', 'fixed'])
@pytest.mark.parametrize('shape', _SHAPES, ids=str)
def test_same_bits_in_any_order_of_threads(kernels, kind, shape):
    case = _Case(kind, shape, 3, 'float32', True, True)
    found, _ = case.run()
    forward = [z.tobytes() for z in found]
    for order in 1, 2, 3:
        kernels.order = order
        again, _ = case.run()
        assert [z.tobytes() for z in again] == forward, order


@pytest.mark.parametrize('size', [1, 300, 5000])
def test_averages(device, size):
    random = numpy.random.RandomState(0)
    old, found = random.randn(2, 2, 2, size)
    new, is_finite = gpu.modes.averages(
        tuple(device.send(z) for z in old),
        [device.send(z.reshape(-1)) for z in found], .75)
    assert device.get(is_finite)
    for actual, before, value in zip(new, old, found):
        numpy.testing.assert_allclose(
            device.get(actual), .75 * before + .25 * value, rtol=1e-14)
    for i in range(2):
        bad = found.copy()
        bad[i, 1, -1] = numpy.inf
        new, is_finite = gpu.modes.averages(
            tuple(device.send(z) for z in old),
            [device.send(z) for z in bad], .75)
        assert not device.get(is_finite)
        for actual, before in zip(new, old):
            numpy.testing.assert_array_equal(device.get(actual), before)


def test_averages_on_the_cpu():
    random = numpy.random.RandomState(0)
    old, found = random.randn(2, 2, 2, 7)
    new, is_finite = cpu.modes.averages(old, found, .75)
    assert is_finite
    numpy.testing.assert_allclose(new, .75 * old + .25 * found, rtol=1e-14)
    found[1, 0, 3] = numpy.nan
    new, is_finite = cpu.modes.averages(old, found, .75)
    assert not is_finite
    numpy.testing.assert_array_equal(new, old)
