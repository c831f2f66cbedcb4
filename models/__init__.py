"""The papers' networks, one per file, with a choice of normalizers."""

# Before any of them imports Chainer: it makes it run on today's NumPy.
import mixnorm  # NOQA
