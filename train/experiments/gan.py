"""The mixture normalization paper's experiment with a generative network.

Source: M. M. Kalayeh and M. Shah, *Training Faster by Separating Modes of
Variation in Batch-normalized Models*, section 4.5 and figure 6: DCGAN on
CIFAR-10. BN is batch normalization in every layer; MN is mixture
normalization behind the generator's first two deconvolutions.
"""

from train.text_table import text_table


COLUMNS = 'recipe', 'normalizer', 'at', 'K', 'EM iter.'

ROWS = (
    ('cifar10-dcgan-BN', 'batch', None, None, None),
    ('cifar10-dcgan-MN', 'mixture', 'bn1 bn2', 3, 2),
)

_ALL = {'dataset': 'cifar10', 'lr': 2e-4, 'betas': [.5, .999],
        'batch_size': 64, 'n_latent': 100, 'width': 512, 'iterations': 100000,
        'distance_every': 10000}

_OF_BOTH = (
    "Adam's alpha, beta1 and beta2: DCGAN's and Adam's defaults",
    'batch size: 64, as in Chainer-GAN-lib, whose length and interval of '
    'evaluation the paper has',
    'latent vectors: 100, uniform, as in DCGAN',
    'widths, kernels and discriminator: see models/dcgan.py',
    'images for the distance: 10,000 generated, all training images')

RECONSTRUCTED = {row[0]: _OF_BOTH for row in ROWS}


def _settings(name, normalizer, at, components, em_iterations):
    settings = dict(_ALL, normalizer=normalizer)
    if normalizer == 'mixture':
        settings.update(at=at.split(), components=components,
                        em_iterations=em_iterations)
    return settings


RECIPES = {row[0]: _settings(*row) for row in ROWS}


def table():
    """Returns the recipes as a table to print."""
    return text_table([COLUMNS, *ROWS]) + (
        '\n\nAll: 100,000 updates, distances every 10,000 (with --features). '
        'Not legible in the\npaper or not in it, and reconstructed:\n'
        + '\n'.join(f'- {phrase}' for phrase in _OF_BOTH))
