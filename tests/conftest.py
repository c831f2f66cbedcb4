import mixnorm  # NOQA  (before any test module imports chainer)
