import json
import mmap
import os

import mixnorm
import chainer
import numpy
import pytest

from tools import benchmark


@pytest.fixture
def bench():
    return benchmark.Bench(chainer.get_device('@numpy'), .05)


def test_median_of_the_ratios_of_pairs(bench, monkeypatch, capsys):
    clock = [0.]
    monkeypatch.setattr(benchmark.time, 'perf_counter', lambda: clock[0])
    order = []

    def ours():
        order.append('ours')
        # Twice the other's, but for a pause now and then.
        clock[0] += 2. if len(order) % 8 else 50.

    def theirs():
        order.append('theirs')
        clock[0] += 1.

    assert bench.compare('part', 'a', 'b', ours, theirs, 'noted') == 2
    assert order[::2] == ['ours'] * (len(order) // 2)
    assert order[1::2] == ['theirs'] * (len(order) // 2)
    row, = bench.rows
    assert (row['what'], row['against'], row['note'], row['ratio']) == (
        'a', 'b', 'noted', 2)
    assert '2.000' in capsys.readouterr().out


def test_counts_new_pages(bench):
    def touch_new_memory():
        with mmap.mmap(-1, 300 * mmap.PAGESIZE) as memory:
            for i in range(0, len(memory), mmap.PAGESIZE):
                memory[i] = 1

    bench.compare('part', 'a', 'b', touch_new_memory, lambda: None)
    (ours, theirs), = (row['pages'] for row in bench.rows)
    assert ours >= 300
    assert theirs < 300


def test_activation_is_rectified_and_seeded(bench):
    x = bench.activation((50, 3, 4))
    assert x.shape == (50, 3, 4) and x.dtype == numpy.float32
    assert x.min() == 0
    assert 0 < (x == 0).mean() < 1
    numpy.testing.assert_array_equal(x, bench.activation((50, 3, 4)))
    assert (x != bench.activation((50, 3, 4), seed=1)).any()


def test_writes_what_it_printed(monkeypatch, tmp_path, capsys):
    def section(bench):
        bench.compare('part', 'a', 'b', lambda: None, lambda: None)
        bench.growth = {'points': [
            {'size': size, 'seconds': .001 * size, 'extra_bytes': 10}
            for size in (16, 32, 64)]}

    monkeypatch.setitem(benchmark.SECTIONS, 'layer', section)
    assert benchmark.main([
        '--only', 'layer', '--seconds', '.01', '--out',
        str(tmp_path / 'new')]) == 0
    printed = capsys.readouterr().out
    with open(str(tmp_path / 'new' / 'benchmark.json')) as file:
        result = json.load(file)
    assert [row['what'] for row in result['rows']] == ['a']
    assert f"{result['rows'][0]['ratio']:.3f}" in printed
    assert result['growth']['points'][2]['size'] == 64
    assert result['numpy'] == numpy.__version__
    assert set(result['threads']) == {
        'OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'OPENBLAS_THREAD_TIMEOUT'}
    assert sorted(os.listdir(str(tmp_path / 'new'))) == [
        'benchmark.json', 'growth.png']


def test_gives_memory_back_before_each_call(bench, monkeypatch):
    order = []

    class Library:

        def malloc_trim(self, padding):
            order.append('trim')

    monkeypatch.setattr(benchmark, '_libc', Library())
    calls = [lambda: order.append('ours'), lambda: order.append('theirs')]
    bench.compare('part', 'a', 'b', *calls)
    assert 'trim' not in order
    del order[:]
    bench.compare('part', 'a', 'b', *calls, given_back=True)
    # The first calls are not measured.
    assert order[4:8] == ['trim', 'ours', 'trim', 'theirs']
    assert [row['given_back'] for row in bench.rows] == [False, True]


@pytest.mark.parametrize('when', ['forward', 'backward'])
def test_extra_bytes(when, monkeypatch):
    shape = 32, 16, 8, 8
    without = benchmark.extra_bytes(shape)
    assert without > 0
    kind = {'forward': mixnorm.links.MixtureNormalization,
            'backward': chainer.Variable}[when]
    method = getattr(kind, when)

    def with_more(self, *args):
        more = numpy.zeros(3 << 20, 'B')
        result = method(self, *args)
        del more
        return result

    monkeypatch.setattr(kind, when, with_more)
    assert benchmark.extra_bytes(shape) - without == pytest.approx(
        3 << 20, rel=.2)


@pytest.mark.parametrize('seconds', ['0', '-1', 'nan', 'inf'])
def test_seconds_that_are_none(seconds, capsys):
    with pytest.raises(SystemExit) as stop:
        benchmark.main(['--seconds', seconds])
    assert stop.value.code == 2
    assert '--seconds: must be a number above 0' in capsys.readouterr().err


def test_folder_that_cannot_be_made(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(benchmark, 'SECTIONS', {'a': None})
    (tmp_path / 'f').write_text('a file')
    assert benchmark.main(['--only', 'a', '--out', str(tmp_path / 'f')]) == 2
    assert capsys.readouterr().err.count('\n') == 1


def test_unknown_device(capsys):
    assert benchmark.main(['--device', '@nowhere']) == 2
    out, err = capsys.readouterr()
    assert out == ''
    assert err.count('\n') == 1 and '@nowhere' in err


def test_plain_fit_is_the_librarys():
    random = numpy.random.RandomState(0)
    X = random.randn(300, 4) + 6 * random.randint(3, size=(300, 1))
    # What the library's generator draws from this seed, in its order.
    draws = numpy.random.RandomState(1).random_sample(1 + 2 * 3)
    uniform = numpy.concatenate([[draws[0]] * 3, draws[1:]]).reshape(3, 3)
    found = benchmark.plain_fit(numpy, X, 3, uniform)
    gm = mixnorm.mixture.DiagonalGaussianMixture(
        3, kmeans_iter=1, max_iter=1, tol=0, random_state=1).fit(X)
    for actual, expected in zip(
            found, (gm.weights_, gm.means_, gm.covariances_)):
        numpy.testing.assert_allclose(actual, expected, rtol=1e-6)
