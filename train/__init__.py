"""Training scripts, and the modules they are made of."""

# Before any of them imports Chainer: it makes it run on today's NumPy.
import mixnorm  # NOQA
