"""Settings that both training scripts have."""

from chainer.backends import intel64

from mixnorm import ideep
from train.command_line import (
    factor, non_negative_float, non_negative_int, positive_float,
    positive_int)
from train.loop import optimizers
from train.settings import CHANGE, Setting


# What a seed decides.
RANDOM = 'weights, order and augmentation of the images, seeding of mixtures'


def recipe(recipes):
    """Returns the setting that stands for several others."""
    return Setting(
        'recipe', None, "an experiment of the paper's, whose settings other "
        'arguments override; --list-recipes prints them', choices=recipes,
        metavar='NAME')


def sizes(whose):
    """Returns the settings of how many images to use."""
    return [
        Setting(name, None, f'use the first N {part} images of {whose} only',
                type=positive_int, metavar='N')
        for name, part in (('train_size', 'training'), ('test_size', 'test'))]


def optimization(optimizer, lr, decay, batch_size):
    """Returns the settings of how to train, given their defaults."""
    return [
        Setting('optimizer', optimizer, 'rmsprop has alpha 0.9, '
                'rmsprop-graves and nesterov have momentum 0.9',
                choices=optimizers.NAMES),
        Setting('lr', lr, 'learning rate at first', type=positive_float,
                metavar='RATE'),
        Setting('weight_decay', 0., 'of all parameters',
                type=non_negative_float, metavar='RATE'),
        Setting('decay', decay, 'factor of the learning rate at each decay',
                type=factor, metavar='FACTOR'),
        Setting('batch_size', batch_size, 'images in a batch',
                type=positive_int, metavar='N')]


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


def running():
    """Returns the settings of what changes no update of a run."""
    return [Setting(
        'device', '@numpy',
        "Chainer's name for a device, such as @numpy or @cupy:0", CHANGE,
        metavar='DEVICE')] + [Setting(
            f'{name}_every', None,
            f'iterations from one to the next of {what} (default: an epoch)',
            CHANGE, type=positive_int, metavar='ITERATIONS')
        for name, what in (
            ('log', 'a line of the log; each test makes one as well'),
            ('test', 'a test on the whole test set'),
            ('snapshot', 'a snapshot'))] + [
        Setting('recalibrate', 0, 'at each test, test once more with the '
                "normalizers' statistics of N training batches under the "
                'weights as they are; training goes on with its own (default: '
                '0, no such test)', CHANGE, before=[0],
                type=non_negative_int, metavar='N')]
