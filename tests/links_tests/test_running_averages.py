"""Running averages of mini-batches: what enters them, and who sees them."""
import threading

import chainer
from chainer import functions as F
import numpy
import pytest

from mixnorm.links import (
    BatchInstanceNormalization, BatchRenormalization, ModeNormalization)


_KINDS = [BatchInstanceNormalization, BatchRenormalization, ModeNormalization]


def _infer(link, x):
    with chainer.using_config('train', False):
        return link(x).array


@pytest.mark.parametrize('kind', _KINDS)
def test_another_thread_sees_averages_of_one_moment(kind):
    x = numpy.random.RandomState(0).randn(40, 3).astype('f')

    class Watched(kind):

        def __setattr__(self, name, value):
            super().__setattr__(name, value)
            if watching and name.startswith('avg_'):
                # Between one average and the next.
                reader = threading.Thread(
                    target=lambda: seen.append(_infer(self, x)))
                reader.start()
                reader.join(.2)
                readers.append(reader)

    seen, readers, watching = [], [], False
    numpy.random.seed(0)
    link = Watched(3, decay=0.)
    link(x)
    before = _infer(link, x)
    watching = True
    link(100 + 5 * x)
    watching = False
    for reader in readers:
        reader.join()
    after = _infer(link, x)
    assert len(seen) == 2 and abs(after - before).max() > 1
    for y in seen:
        assert any(numpy.array_equal(y, whole) for whole in (before, after))


@pytest.mark.parametrize('kind', _KINDS[:2])
def test_moments_beyond_the_dtype_are_left_out(kind):
    # Their squares are finite in float64, and not in float32.
    x = numpy.random.RandomState(0).randn(40, 3)
    link = kind(3, dtype='f')
    link(x)
    before = link.avg_mean.copy(), link.avg_var.copy()
    link(1e25 * x)
    for actual, expected in zip((link.avg_mean, link.avg_var), before):
        numpy.testing.assert_array_equal(actual, expected)
    assert numpy.isfinite(_infer(link, x)).all()


def test_fine_tuning_counts_only_what_enters():
    x = numpy.random.RandomState(0).randn(40, 3)
    link = BatchInstanceNormalization(3, dtype='f')
    link.start_finetuning()
    link(1e25 * x, finetune=True)
    assert link.N == 0
    link(x, finetune=True)
    assert link.N == 1
    numpy.testing.assert_allclose(link.avg_mean, x.mean(axis=0), rtol=1e-5)
    assert F.sum(link(x)).array == pytest.approx(0, abs=1e-3)
