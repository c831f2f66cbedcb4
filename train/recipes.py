"""The rows of the paper's tables, as settings of the training script.

Source: Kalayeh & Shah, *Training Faster by Separating Modes of Variation in
Batch-normalized Models*: the five-layer network on CIFAR. BN is batch
normalization in every layer; MN is mixture normalization in the layers named
and batch normalization in the others.
"""

_COMMON = {
    'optimizer': 'rmsprop', 'batch_size': 256, 'epoch': 100, 'decay': 0.93,
    'decay_every': 2, 'widths': [64, 128, 128, 256]}

_HEADER = 'recipe  normalizer  at  K  EM iter.  lr  weight decay'

_ROWS = '''
cifar10-cnn-BN-1   batch    -            -  -  0.01  1e-4
cifar10-cnn-BN-2   batch    -            -  -  0.01  2e-5
cifar10-cnn-BN-3   batch    -            -  -  0.05  1e-4
cifar10-cnn-BN-4   batch    -            -  -  0.05  2e-5
cifar10-cnn-MN-1   mixture  conv3        3  2  0.01  1e-4
cifar10-cnn-MN-2   mixture  conv3        3  2  0.01  2e-5
cifar10-cnn-MN-3   mixture  conv3        3  2  0.05  1e-4
cifar10-cnn-MN-4   mixture  conv3        3  2  0.05  2e-5
cifar100-cnn-BN-1  batch    -            -  -  0.01  1e-4
cifar100-cnn-BN-2  batch    -            -  -  0.01  2e-5
cifar100-cnn-BN-3  batch    -            -  -  0.05  1e-4
cifar100-cnn-BN-4  batch    -            -  -  0.05  2e-5
cifar100-cnn-MN-1  mixture  conv3        3  2  0.01  1e-4
cifar100-cnn-MN-2  mixture  conv3        3  2  0.01  2e-5
cifar100-cnn-MN-3  mixture  conv3        3  2  0.05  1e-4
cifar100-cnn-MN-4  mixture  conv3        3  2  0.05  2e-5
cifar100-cnn-MN-5  mixture  conv3        3  4  0.01  2e-5
cifar100-cnn-MN-6  mixture  conv3        3  8  0.01  2e-5
cifar100-cnn-MN-7  mixture  conv2        3  2  0.01  2e-5
cifar100-cnn-MN-8  mixture  conv2,conv3  3  2  0.01  2e-5
'''


def _settings(row):
    name, normalizer, at, components, em_iterations, lr, weight_decay = (
        row.split())
    settings = dict(
        _COMMON, dataset=name.split('-')[0], normalizer=normalizer,
        lr=float(lr), weight_decay=float(weight_decay))
    if normalizer == 'mixture':
        settings.update(at=at.split(','), components=int(components),
                        em_iterations=int(em_iterations))
    return name, settings


RECIPES = dict(map(_settings, _ROWS.strip().splitlines()))


def table():
    """Returns the recipes as a table to print."""
    rows = [_HEADER.split('  ')]
    rows += [row.split() for row in _ROWS.strip().splitlines()]
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ['  '.join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return '\n'.join(lines + [
        '', 'All: RMSprop (alpha 0.9), batches of 256, 100 epochs, learning '
        'rate times 0.93', 'every two epochs, widths 64, 128, 128, 256.'])
