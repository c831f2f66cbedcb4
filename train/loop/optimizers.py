"""Optimizers by name, and the schedule of their learning rate."""

import collections
import functools
import math

import chainer
from chainer import optimizers
from chainer.training import extension
import numpy

from train.command_line import option, UserError
from train.loop.schedule import n_epochs


_Choice = collections.namedtuple('_Choice', 'make attribute')

_CHOICES = {
    'rmsprop': _Choice(functools.partial(optimizers.RMSprop, alpha=.9), 'lr'),
    'rmsprop-graves': _Choice(optimizers.RMSpropGraves, 'lr'),
    'nesterov': _Choice(optimizers.NesterovAG, 'lr'),
    'momentum': _Choice(optimizers.MomentumSGD, 'lr'),
    'sgd': _Choice(optimizers.SGD, 'lr'),
    'adam': _Choice(optimizers.Adam, 'alpha'),
}

NAMES = tuple(_CHOICES)

# The defaults of the hyperparameters that a user may choose.
MOMENTUM = dict.fromkeys(('rmsprop-graves', 'nesterov', 'momentum'), .9)
BETAS = {'adam': [.9, .999]}


def make_optimizer(name, lr, momentum=None, betas=None):
    """Makes an optimizer.

    Args:
        name (str): One of ``NAMES``.
        lr (float): Learning rate.
        momentum (float or None): That of an optimizer in ``MOMENTUM``, whose
            default ``None`` stands for.
        betas (list of float or None): Decay rates of the first and the second
            moment, of an optimizer in ``BETAS``, whose default ``None``
            stands for.

    Returns:
        ~chainer.GradientMethod: An optimizer without a target.

    """
    choice = _CHOICES[name]
    hyperparameters = {choice.attribute: lr}
    if name in MOMENTUM:
        hyperparameters['momentum'] = (
            MOMENTUM[name] if momentum is None else momentum)
    if name in BETAS:
        hyperparameters.update(zip(
            ('beta1', 'beta2'), BETAS[name] if betas is None else betas))
    return choice.make(**hyperparameters)


def check_use(settings, given):
    """Raises UserError if a hyperparameter is given that would do nothing.

    Args:
        settings (dict): All settings.
        given (dict): Those that the user gave.

    """
    for name, takers in (('momentum', MOMENTUM), ('betas', BETAS)):
        if name in given and settings['optimizer'] not in takers:
            raise UserError(f'{option(name)} goes with --optimizer '
                            f"{' or '.join(takers)}, not "
                            f"{settings['optimizer']}")


def check_parameters(name, link):
    """Raises UserError if an optimizer cannot train a link.

    In mixed16, updates are those of copies in float32.

    Args:
        name (str): One of ``NAMES``.
        link (~chainer.Link): The link.

    """
    for path, parameter in sorted(link.namedparams()):
        if (name == 'rmsprop' and parameter.dtype == numpy.float16
                and chainer.config.dtype is not chainer.mixed16):
            # What keeps its divisor from 0 is 0 in float16.
            raise UserError('--optimizer rmsprop cannot train float16 '
                            f'parameters, such as {path}')


class LearningRate(extension.Extension):

    """Trainer extension that sets and reports the learning rate.

    The rate is a function of how far the run is, in epochs and in iterations,
    alone. It is not stored: a resumed run works it out again, whatever its
    length is now.

    Args:
        name (str): Name of the main optimizer, one of ``NAMES``.
        initial (float): Learning rate of the first epoch.
        decay (float): What the rate is multiplied with at every decay.
        every (float or None): A decay after each so many epochs.
        at (tuple of float): A decay after each of these numbers of epochs as
            well: within an epoch, after the first update that gets there.
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
        epochs = n_epochs(trainer.updater)
        n_decays = sum(epochs >= point for point in self._at)
        n_decays += sum(trainer.updater.iteration >= point
                        for point in self._at_iterations)
        if self._every is not None:
            n_decays += math.floor(epochs / self._every)
        setattr(trainer.updater.get_optimizer('main'), self._attribute,
                self._initial * self._decay ** n_decays)
