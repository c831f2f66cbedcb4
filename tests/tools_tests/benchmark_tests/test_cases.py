import mixnorm
import chainer
import numpy
import pytest

from models.densenet import DenseNet
from tools.benchmark import cases
from tools.benchmark.harness import Benchmark


_numpy = chainer.get_device('@numpy')


@pytest.fixture
def benchmark(monkeypatch):
    """A benchmark on small inputs, which measures once."""
    activation = cases.activation
    compare_measured = Benchmark.compare_measured

    def small_activation(device, shape, **kwargs):
        return activation(
            device, (16, shape[1], *(2 for _ in shape[2:])), **kwargs)

    def measure_once(self, section, what, against, ours, theirs, note=''):
        first, second = ours(), theirs()
        return compare_measured(self, section, what, against,
                                lambda: first, lambda: second, note)

    monkeypatch.setattr(cases, 'activation', small_activation)
    monkeypatch.setattr(cases, 'BATCH_SIZE', 2)
    monkeypatch.setattr(cases, 'DENSENETS', [(7, 2), (7, 3)])
    monkeypatch.setattr(Benchmark, 'compare_measured', measure_once)
    return Benchmark(_numpy, .01)


@pytest.mark.parametrize('compare, n_rows, first, last', [
    (cases.compare_layer, 23,
     ('layer', 'mixture 256x128x8x8, K 1, EM iter. 2',
      'L.BatchNormalization'),
     ('layer', 'mixture 256x128x8x8, K 8, warm start', 'the same without')),
    (cases.compare_inference, 3,
     ('inference', 'mixture 256x128x8x8, K 3, T 10', 'L.BatchNormalization'),
     ('inference', 'mode 256x128x8x8, K 2', 'L.BatchNormalization')),
    (cases.compare_output, 2,
     ('output', 'mixture 256x128x8x8, K 3', 'copy of the input'),
     ('output', 'mixture 256x64x32x32, K 3', 'copy of the input')),
    (cases.compare_fit, 4,
     ('fit', '16384x128, K 3, 1 + 1 iterations, 1 of points',
      'scikit-learn, 2 iterations'),
     ('fit', '16384x128, K 3, to convergence', 'scikit-learn, its defaults')),
    (cases.compare_network, 10,
     ('network', 'mixture at conv3, K 3, EM iter. 2, batch 2',
      'batch normalization'),
     ('network', 'batch normalization, batch 2, memory kept',
      'memory not kept')),
])
def test_rows(compare, n_rows, first, last, benchmark, capsys):
    compare(benchmark)
    rows = [(row['section'], row['what'], row['against'])
            for row in benchmark.rows]
    assert (len(rows), rows[0], rows[-1]) == (n_rows, first, last)
    assert len(set(rows)) == n_rows
    assert all(row['ratio'] > 0 for row in benchmark.rows)
    assert f"{benchmark.rows[-1]['ratio']:.3f}" in capsys.readouterr().out


def test_densenets_of_the_paper():
    # What table VII prints as their dimension: channels at the last layer.
    for (depth, _), channels in zip(cases.DENSENETS, (196, 448, 448)):
        network = DenseNet(100, depth, normalizers={})
        assert network.last.avg_mean.shape == (channels,)


def test_host_on_a_cpu(benchmark, capsys):
    cases.compare_host(benchmark)
    assert benchmark.rows == []
    assert 'on a GPU' in capsys.readouterr().out


def test_rows_of_modes(benchmark):
    cases.compare_modes(benchmark)
    rows = [(row['what'], row['against']) for row in benchmark.rows
            if 'PyTorch' not in row['against']]
    assert rows == [
        (f'{name} 256x128x8x8, K {k}', against)
        for name, against in [('mode', 'L.BatchNormalization'),
                              ('mode group', 'L.GroupNormalization')]
        for k in (2, 4, 6)]


def test_activation_is_rectified_and_seeded():
    x = cases.activation(_numpy, (50, 3, 4))
    assert x.shape == (50, 3, 4) and x.dtype == numpy.float32
    assert x.min() == 0
    assert 0 < (x == 0).mean() < 1
    numpy.testing.assert_array_equal(x, cases.activation(_numpy, (50, 3, 4)))
    assert (x != cases.activation(_numpy, (50, 3, 4), seed=1)).any()


def test_plain_fit_is_the_librarys():
    random = numpy.random.RandomState(0)
    X = random.randn(300, 4) + 6 * random.randint(3, size=(300, 1))
    # Groups far apart: whichever points seed them, they are found, in an
    # order of each fit's own.
    uniform = numpy.random.RandomState(1).random_sample((3, 3))
    found = cases.plain_fit(numpy, X, 3, uniform)
    gm = mixnorm.mixture.DiagonalGaussianMixture(
        3, kmeans_iter=1, max_iter=1, tol=0, random_state=1).fit(X)
    order, expected_order = found[1][:, 0].argsort(), gm.means_[:, 0].argsort()
    for actual, expected in zip(
            found, (gm.weights_, gm.means_, gm.covariances_)):
        numpy.testing.assert_allclose(
            actual[order], expected[expected_order], rtol=1e-6)


@pytest.mark.parametrize('keep', [True, False])
def test_memory_is_kept_in_one_process_only(keep, monkeypatch):
    calls = []
    monkeypatch.setattr(mixnorm, 'keep_memory', lambda: calls.append('kept'))
    monkeypatch.setattr(
        cases, 'training_step', lambda *args: lambda: calls.append(args))
    cases._step_of_process.cache_clear()
    for _ in range(2):
        seconds, pages = cases._time_step(5, keep)
        assert seconds > 0 and pages >= 0
    cases._step_of_process.cache_clear()
    assert calls == ['kept'] * keep + [(_numpy, 5, {})] * 2
