"""The rows of the mixture normalization paper's tables.

Source: Kalayeh & Shah, *Training Faster by Separating Modes of Variation in
Batch-normalized Models*: the five-layer network on CIFAR. BN is batch
normalization in every layer; MN is mixture normalization in the layers named
and batch normalization in the others.
"""

from train.text_table import text_table


COLUMNS = 'recipe', 'normalizer', 'at', 'K', 'EM iter.', 'lr', 'weight decay'

ROWS = (
    ('cifar10-cnn-BN-1', 'batch', None, None, None, .01, 1e-4),
    ('cifar10-cnn-BN-2', 'batch', None, None, None, .01, 2e-5),
    ('cifar10-cnn-BN-3', 'batch', None, None, None, .05, 1e-4),
    ('cifar10-cnn-BN-4', 'batch', None, None, None, .05, 2e-5),
    ('cifar10-cnn-MN-1', 'mixture', 'conv3', 3, 2, .01, 1e-4),
    ('cifar10-cnn-MN-2', 'mixture', 'conv3', 3, 2, .01, 2e-5),
    ('cifar10-cnn-MN-3', 'mixture', 'conv3', 3, 2, .05, 1e-4),
    ('cifar10-cnn-MN-4', 'mixture', 'conv3', 3, 2, .05, 2e-5),
    ('cifar100-cnn-BN-1', 'batch', None, None, None, .01, 1e-4),
    ('cifar100-cnn-BN-2', 'batch', None, None, None, .01, 2e-5),
    ('cifar100-cnn-BN-3', 'batch', None, None, None, .05, 1e-4),
    ('cifar100-cnn-BN-4', 'batch', None, None, None, .05, 2e-5),
    ('cifar100-cnn-MN-1', 'mixture', 'conv3', 3, 2, .01, 1e-4),
    ('cifar100-cnn-MN-2', 'mixture', 'conv3', 3, 2, .01, 2e-5),
    ('cifar100-cnn-MN-3', 'mixture', 'conv3', 3, 2, .05, 1e-4),
    ('cifar100-cnn-MN-4', 'mixture', 'conv3', 3, 2, .05, 2e-5),
    ('cifar100-cnn-MN-5', 'mixture', 'conv3', 3, 4, .01, 2e-5),
    ('cifar100-cnn-MN-6', 'mixture', 'conv3', 3, 8, .01, 2e-5),
    ('cifar100-cnn-MN-7', 'mixture', 'conv2', 3, 2, .01, 2e-5),
    ('cifar100-cnn-MN-8', 'mixture', 'conv2 conv3', 3, 2, .01, 2e-5),
)

_ALL = {
    'optimizer': 'rmsprop', 'batch_size': 256, 'epoch': 100, 'decay': .93,
    'decay_every': 2, 'widths': [64, 128, 128, 256]}


def _settings(name, normalizer, at, components, em_iterations, lr,
              weight_decay):
    settings = dict(
        _ALL, dataset=name.split('-')[0], normalizer=normalizer, lr=lr,
        weight_decay=weight_decay)
    if normalizer == 'mixture':
        settings.update(at=at.split(), components=components,
                        em_iterations=em_iterations)
    return settings


RECIPES = {row[0]: _settings(*row) for row in ROWS}


def table():
    """Returns the recipes as a table to print."""
    # 1e-4, as the paper has it, where Python has 1e-04.
    rows = [(*row, f'{weight_decay:.0e}'.replace('-0', '-'))
            for *row, weight_decay in ROWS]
    return text_table([COLUMNS, *rows]) + (
        '\n\nAll: RMSprop (alpha 0.9), batches of 256, 100 epochs, learning '
        'rate times 0.93\nevery two epochs, widths 64, 128, 128, 256.')
