import mixnorm
import chainer
import numpy
import pytest

from tools.benchmark import growth
from tools.benchmark.harness import Benchmark


@pytest.mark.parametrize('when', ['forward', 'backward'])
def test_extra_bytes(when, monkeypatch):
    shape = 32, 16, 8, 8
    without = growth.extra_bytes(shape)
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
    assert growth.extra_bytes(shape) - without == pytest.approx(
        3 << 20, rel=.2)


def test_share_of_the_straight_line(monkeypatch, capsys):
    monkeypatch.setattr(growth, 'SHAPES', {
        'points': {size: (size // 4, 2, 2, 2) for size in (16, 32, 64)}})
    # Half of the middle's 2.5 seconds that the line from 2 to 3.5 has.
    monkeypatch.setattr(
        Benchmark, 'shortest',
        lambda self, function, seconds=iter([2., 1.25, 3.5]): next(seconds))
    benchmark = Benchmark(chainer.get_device('@numpy'), .01)
    growth.measure_growth(benchmark)
    points = benchmark.growth['points']
    assert [(p['size'], p['of_line']) for p in points] == [
        (16, 1), (32, .5), (64, 1)]
    assert all(p['extra_bytes'] > 0 for p in points)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[2:4] for line in lines] == [
        ['16:', '1.000'], ['32:', '0.500'], ['64:', '1.000']]


def test_sizes():
    for size, shape in growth.SHAPES['points'].items():
        assert shape[0] * shape[2] * shape[3] == size
    for size, shape in growth.SHAPES['channels'].items():
        assert shape[1] == size
