"""The mode normalization paper's experiments with several sets of images.

Source: L. Deecke, I. Murray and H. Bilen, *Mode Normalization* (2019), section
4.1: four sets, 3.5 million images, the learning rate cut to a tenth after 2.5
and 3 million; and small batches for 50,000 updates, learning rate 0.02, cut
after 35,000 and 42,500. BN is batch normalization; MN is mode normalization.
The learning rate of the first is this library's choice.
"""

from train.text_table import text_table


COLUMNS = 'recipe', 'normalizer', 'K', 'batch', 'length', 'unit', 'lr'

ROWS = (
    ('multitask-BN', 'batch', None, 128, 3500000, 'images', .05),
    ('multitask-MN-2', 'mode', 2, 128, 3500000, 'images', .05),
    ('multitask-MN-4', 'mode', 4, 128, 3500000, 'images', .05),
    ('multitask-MN-6', 'mode', 6, 128, 3500000, 'images', .05),
    ('multitask-small-BN', 'batch', None, 16, 50000, 'updates', .02),
    ('multitask-small-MN-2', 'mode', 2, 16, 50000, 'updates', .02),
    ('multitask-small-MN-4', 'mode', 4, 16, 50000, 'updates', .02),
    ('multitask-small-MN-6', 'mode', 6, 16, 50000, 'updates', .02),
)

# The shares of a run after which the learning rate is cut, by its unit.
_CUTS = {'images': [2.5 / 3.5, 3 / 3.5], 'updates': [.7, .85]}

_ALL = {'sets': ['mnist', 'fashion-mnist', 'cifar10', 'svhn'],
        'optimizer': 'sgd'}


def _settings(name, normalizer, modes, batch_size, length, unit, lr):
    settings = dict(
        _ALL, normalizer=normalizer, batch_size=batch_size, lr=lr,
        cuts=_CUTS[unit])
    settings['samples' if unit == 'images' else 'iterations'] = length
    if normalizer == 'mode':
        settings['modes'] = modes
    return settings


RECIPES = {row[0]: _settings(*row) for row in ROWS}


def table():
    """Returns the recipes as a table to print."""
    rows = [(name, normalizer, modes, batch_size, f'{length:,}', unit, lr)
            for name, normalizer, modes, batch_size, length, unit, lr in ROWS]
    return text_table([COLUMNS, *rows]) + (
        f"\n\nAll: {', '.join(_ALL['sets'])}; SGD. The paper also has batches "
        'of 256 and 512, and small ones of 4 and 8\n(--batch-size), and five '
        'seeds (--seeds 0 1 2 3 4).')
