"""Runs Chainer's own tests and holds the failures against a list."""
