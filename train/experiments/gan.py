"""The mixture normalization paper's experiment with a generative network.

Source: M. M. Kalayeh and M. Shah, *Training Faster by Separating Modes of
Variation in Batch-normalized Models*, section 4.5 and figure 6: DCGAN on
CIFAR-10. BN is batch normalization in every layer; MN is mixture
normalization behind the generator's first two deconvolutions.
"""

from train.experiments.mixture_paper import normalized_at
from train.experiments.tables import reconstructed, recipes, Table


_ROWS = (
    ('cifar10-dcgan-BN', 'batch', None, None, None),
    ('cifar10-dcgan-MN', 'mixture', 'bn1 bn2', 3, 2),
)


def _settings(name, normalizer, at, components, em_iterations):
    return {
        'dataset': 'cifar10', 'lr': 2e-4, 'betas': [.5, .999],
        'batch_size': 64, 'n_latent': 100, 'width': 512,
        'iterations': 100000, 'distance_every': 10000,
        **normalized_at(normalizer, at, components, em_iterations)}


TABLES = (
    Table(
        'Figure 6: DCGAN on CIFAR-10',
        ('recipe', 'normalizer', 'at', 'K', 'EM iter.'), _ROWS, _settings,
        'All: 100,000 updates, distances every 10,000 (with --features).',
        {None: (
            "Adam's alpha, beta1 and beta2: DCGAN's and Adam's defaults",
            'batch size: 64, as in Chainer-GAN-lib, whose length and interval '
            'of evaluation the paper has',
            'latent vectors: 100, uniform, as in DCGAN',
            'widths, kernels and discriminator: see models/dcgan.py',
            'images for the distance: 10,000 generated, all training '
            'images')}),
)

RECIPES = recipes(TABLES)

RECONSTRUCTED = reconstructed(TABLES)
