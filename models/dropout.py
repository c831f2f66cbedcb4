"""Dropout that a snapshot can continue."""

import chainer
import chainer.functions as F
import numpy


class Dropout(chainer.Link):

    """Sets values to zero at random in training.

    Each value is zero with probability ``ratio``, and divided by
    ``1 - ratio`` otherwise. The random numbers are a function of the link's
    seed and of how often it has drawn, which are both saved with it: unlike
    :func:`chainer.functions.dropout`, which draws from a global generator, it
    goes on after loading exactly as it would have.

    Args:
        ratio (float): Probability of a zero, in [0, 1).
        seed (int or None): Seed of the random numbers; drawn from
            ``numpy.random`` if ``None``.

    Attributes:
        share (tuple of int): ``(i, n)``: the mini-batch is the i-th (from 0)
            of n equal shares of a larger one, such as those of n workers, and
            gets that share of the larger one's mask. ``(0, 1)`` at first.

    Raises:
        ValueError: If ``ratio`` is out of range.

    """

    def __init__(self, ratio, seed=None):
        super().__init__()
        if not 0 <= ratio < 1:
            raise ValueError(f'ratio is {ratio}: it must be in [0, 1)')
        self.ratio = ratio
        self.seed = int(numpy.random.randint(1 << 31) if seed is None
                        else seed)
        self.n_draws = 0
        self.share = 0, 1
        self.register_persistent('seed')
        self.register_persistent('n_draws')

    def forward(self, x):
        if not chainer.config.train:
            return chainer.as_variable(x)
        i, n = self.share
        # Drawn on the host: the same for every device.
        is_kept = numpy.random.default_rng((self.seed, self.n_draws)).random(
            (n,) + x.shape, numpy.float32)[i] >= self.ratio
        self.n_draws += 1
        mask = self.device.send(is_kept).astype(x.dtype)
        mask /= 1 - self.ratio
        return F.dropout(x, mask=mask)
