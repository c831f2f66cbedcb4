"""Optimizers by name, and the schedule of their learning rate."""

import collections

from chainer import optimizers
from chainer.training import extension
import numpy

from train.command_line import UserError


_Choice = collections.namedtuple('_Choice', 'make attribute')

# The paper's "RMSprop with 0.9 momentum" may mean either of the first two.
_CHOICES = {
    'rmsprop': _Choice(
        lambda lr: optimizers.RMSprop(lr=lr, alpha=0.9), 'lr'),
    'rmsprop-graves': _Choice(
        lambda lr: optimizers.RMSpropGraves(lr=lr, momentum=0.9), 'lr'),
    'nesterov': _Choice(
        lambda lr: optimizers.NesterovAG(lr=lr, momentum=0.9), 'lr'),
    'sgd': _Choice(lambda lr: optimizers.SGD(lr=lr), 'lr'),
    'adam': _Choice(lambda lr: optimizers.Adam(alpha=lr), 'alpha'),
}

NAMES = tuple(_CHOICES)


def make_optimizer(name, lr):
    """Makes an optimizer.

    Args:
        name (str): One of ``NAMES``.
        lr (float): Learning rate.

    Returns:
        ~chainer.GradientMethod: An optimizer without a target.

    """
    return _CHOICES[name].make(lr)


def check_parameters(name, link):
    """Raises UserError if an optimizer cannot train a link.

    Args:
        name (str): One of ``NAMES``.
        link (~chainer.Link): The link.

    """
    for path, parameter in sorted(link.namedparams()):
        if name == 'rmsprop' and parameter.dtype == numpy.float16:
            # What keeps its divisor from 0 is 0 in float16.
            raise UserError('--optimizer rmsprop cannot train float16 '
                            f'parameters, such as {path}')


class LearningRate(extension.Extension):

    """Trainer extension that sets and reports the learning rate.

    The rate is a function of the numbers of finished epochs and iterations
    alone. It is not stored: a resumed run works it out again, whatever its
    length is now.

    Args:
        name (str): Name of the main optimizer, one of ``NAMES``.
        initial (float): Learning rate of the first epoch.
        decay (float): What the rate is multiplied with at every decay.
        every (int or None): A decay after each so many epochs.
        at (tuple of int): A decay after each of these epochs as well.
        at_iterations (tuple of int): A decay after each of these iterations
            as well.

    """

    trigger = 1, 'iteration'
    priority = extension.PRIORITY_WRITER

    def __init__(self, name, initial, decay=1., every=None, at=(),
                 at_iterations=()):
        self._attribute = _CHOICES[name].attribute
        self._initial = initial
        self._decay = decay
        self._every = every
        self._at = at
        self._at_iterations = at_iterations

    def initialize(self, trainer):
        self._set(trainer)

    def __call__(self, trainer):
        optimizer = trainer.updater.get_optimizer('main')
        # Reported first: the observation is of the update that just ended.
        trainer.observation['lr'] = getattr(optimizer, self._attribute)
        self._set(trainer)

    def _set(self, trainer):
        epoch = trainer.updater.epoch
        n_decays = sum(epoch >= point for point in self._at)
        n_decays += sum(trainer.updater.iteration >= point
                        for point in self._at_iterations)
        if self._every is not None:
            n_decays += epoch // self._every
        setattr(trainer.updater.get_optimizer('main'), self._attribute,
                self._initial * self._decay ** n_decays)
