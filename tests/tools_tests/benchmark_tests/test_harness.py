import mmap
import os

import mixnorm  # NOQA  (before Chainer)
import chainer
import pytest

from tools.benchmark import harness


@pytest.fixture
def benchmark():
    return harness.Benchmark(chainer.get_device('@numpy'), .05)


def test_median_of_the_ratios_of_pairs(benchmark, monkeypatch, capsys):
    clock = [0.]
    monkeypatch.setattr(harness.time, 'perf_counter', lambda: clock[0])
    order = []

    def ours():
        order.append('ours')
        # Twice the other's, but for a pause now and then.
        clock[0] += 2. if len(order) % 8 else 50.

    def theirs():
        order.append('theirs')
        clock[0] += 1.

    assert benchmark.compare('part', 'a', 'b', ours, theirs, 'noted') == 2
    assert order[::2] == ['ours'] * (len(order) // 2)
    assert order[1::2] == ['theirs'] * (len(order) // 2)
    row, = benchmark.rows
    assert (row['what'], row['against'], row['note'], row['ratio']) == (
        'a', 'b', 'noted', 2)
    assert '2.000' in capsys.readouterr().out


def test_rows_columns_are_below_their_names(benchmark, capsys):
    benchmark.print_header()
    benchmark.compare_measured(
        'part', 'a', 'b', lambda: (2., 11), lambda: (1., 3), 'noted')
    header, row = capsys.readouterr().out.splitlines()
    assert header.index('what') == row.index('a', 4)
    assert header.index('against') == row.index('b')
    assert header.index('ratio') + len('ratio') == (
        row.index('2.000') + len('2.000'))
    assert header.index('(quartiles)') == row.index('(2.000 to 2.000)')
    assert row.split()[-3:] == ['11', '3', 'noted']


def test_counts_new_pages(benchmark):
    def touch_new_memory():
        with mmap.mmap(-1, 300 * mmap.PAGESIZE) as memory:
            for i in range(0, len(memory), mmap.PAGESIZE):
                memory[i] = 1

    benchmark.compare('part', 'a', 'b', touch_new_memory, lambda: None)
    (ours, theirs), = (row['pages'] for row in benchmark.rows)
    assert ours >= 300
    assert theirs < 300


def test_shortest(benchmark, monkeypatch):
    clock = [0.]
    monkeypatch.setattr(harness.time, 'perf_counter', lambda: clock[0])
    seconds = iter([1., 7., 3., 5.])

    def function():
        clock[0] += next(seconds)

    # The first call is not measured.
    assert benchmark.shortest(function) == 3


def test_new_process_stays_the_same():
    with harness.new_process() as process:
        first, second = (
            process.submit(os.getpid).result() for _ in range(2))
    assert first == second != os.getpid()
