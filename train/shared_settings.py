"""Settings that both training scripts have."""

import argparse

from chainer.backends import intel64

from mixnorm import ideep
from train.command_line import (
    factor, non_negative_float, non_negative_int, positive_float,
    positive_int, share)
from train.loop import optimizers
from train.settings import By, CHANGE, Setting


# What a seed decides.
RANDOM = 'weights, order and augmentation of the images, seeding of mixtures'


def recipe(recipes, former=()):
    """Returns the setting that stands for several others."""
    def known(name):
        # There are too many for one line.
        if name not in recipes:
            raise argparse.ArgumentTypeError(
                f'there is no recipe {name!r}: --list-recipes prints them')
        return name

    return Setting(
        'recipe', None, "an experiment of the papers', whose settings other "
        'arguments override; --list-recipes prints them', choices=recipes,
        former=former, type=known, metavar='NAME')


def sizes(whose):
    """Returns the settings of how many images to use."""
    return [
        Setting(name, None, f'use the first N {part} images of {whose} only',
                type=positive_int, metavar='N')
        for name, part in (('train_size', 'training'), ('test_size', 'test'))]


def optimization(optimizer, lr, decay, batch_size):
    """Returns the settings of how to train, given their defaults."""
    momentum = By('optimizer', optimizers.MOMENTUM)
    betas = By('optimizer', optimizers.BETAS)
    return [
        Setting('optimizer', optimizer, 'rmsprop has alpha 0.9; the paper\'s '
                '"RMSprop with 0.9 momentum" may mean this or rmsprop-graves',
                choices=optimizers.NAMES),
        Setting('momentum', momentum, 'of the gradients, with '
                f"{', '.join(optimizers.MOMENTUM)} (default: 0.9)",
                before=[momentum], type=share, metavar='SHARE'),
        Setting('betas', betas, 'shares that the averages of the gradients '
                'and of their squares keep, with adam (default: 0.9 0.999)',
                before=[betas], type=share, nargs=2, metavar='SHARE'),
        Setting('lr', lr, 'learning rate at first', type=positive_float,
                metavar='RATE'),
        Setting('weight_decay', 0., 'of all parameters',
                type=non_negative_float, metavar='RATE'),
        Setting('decay', decay, 'factor of the learning rate at each decay',
                type=factor, metavar='FACTOR'),
        Setting('batch_size', batch_size, 'images in a batch',
                type=positive_int, metavar='N'),
        scale()]


def scale():
    """Returns the setting that shortens a schedule."""
    return Setting(
        'scale', 1., 'shortens the schedule: the length of the run, given or '
        'not, and all decays of the learning rate are multiplied with it '
        '(default: 1)', before=[1.], type=factor, metavar='FACTOR')


def workers():
    """Returns the settings of what workers train one model together.

    The last is no argument: ``'n_workers'`` is how many there are.

    """
    return [
        Setting('communicator', None, "ChainerMN's communicator of the "
                'workers that mpiexec started, which share every batch; '
                'pure_nccl and flat need GPUs (default: one worker)',
                choices=('naive', 'flat', 'pure_nccl'), before=[None]),
        Setting('n_workers', None, None, before=[None])]


def use_ideep():
    """Returns the setting of what computes the layers on a CPU."""
    is_available = intel64.is_ideep_available()
    default = 'auto' if is_available else 'never'

    def check(level):
        if level == 'always' and not is_available:
            raise ValueError(f'always: {ideep.reason_unavailable()}')
        # It is saved, and so has to say what was used.
        return level if is_available else 'never'

    return Setting(
        'use_ideep', default, "Chainer's use_ideep: compute convolutions, "
        'poolings and other layers on a CPU by PyTorch, which rounds '
        'otherwise (default: auto where PyTorch is installed, never elsewhere;'
        f' {default} here)', choices=('always', 'auto', 'never'), check=check,
        before=['never'])


def running(test_every='an epoch'):
    """Returns the settings of what changes no update of a run.

    Args:
        test_every (str): How often a script tests by default, for its help.

    """
    return [Setting(
        'device', '@numpy',
        "Chainer's name for a device, such as @numpy or @cupy:0", CHANGE,
        metavar='DEVICE')] + [Setting(
            f'{name}_every', None,
            f'iterations between {what} (default: {default})',
            CHANGE, type=positive_int, metavar='ITERATIONS')
        for name, what, default in (
            ('log', 'lines of the log; each test makes one as well',
             'an epoch'),
            ('test', 'tests on the whole test set', test_every),
            ('snapshot', 'snapshots', 'an epoch'))] + [
        Setting('recalibrate', 0, 'at each test, test once more with the '
                "normalizers' statistics of N training batches under the "
                'weights as they are; training goes on with its own (default: '
                '0, no such test)', CHANGE, before=[0],
                type=non_negative_int, metavar='N')]
