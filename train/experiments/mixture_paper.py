"""The rows of the mixture normalization paper's tables.

Source: M. M. Kalayeh and M. Shah, *Training Faster by Separating Modes of
Variation in Batch-normalized Models*: classifiers of CIFAR. BN is batch
normalization in every layer; MN is mixture normalization in the layers named
and batch normalization in the others. The copy of the paper that was at hand
lacks its typeset mathematics; what had to be reconstructed is said with each
table, and in :data:`RECONSTRUCTED` by recipe.
"""

from train.experiments.tables import reconstructed, recipes, Table


_RMSPROP = ('"RMSprop with 0.9 momentum" taken as alpha 0.9 '
            '(or: --optimizer rmsprop-graves)')


def normalized_at(normalizer, at, components, em_iterations):
    """Returns the settings of what normalizes and where."""
    if normalizer == 'batch':
        return {'normalizer': 'batch'}
    return {'normalizer': normalizer, 'at': sorted(at.split()),
            'components': components, 'em_iterations': em_iterations}


_CNN_ROWS = (
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


def _cnn(name, normalizer, at, components, em_iterations, lr, weight_decay):
    return {
        'dataset': name.split('-')[0], 'network': 'cnn',
        'widths': [64, 128, 128, 256], 'optimizer': 'rmsprop', 'lr': lr,
        'weight_decay': weight_decay, 'decay': .93, 'decay_every': 2,
        'batch_size': 256, 'epoch': 100,
        **normalized_at(normalizer, at, components, em_iterations)}


_INCEPTION_ROWS = (
    ('cifar10-inception-BN-1', 'batch', None, None, None, .001),
    ('cifar10-inception-MN-1', 'mixture', 'red1 red2', 3, 8, .001),
    ('cifar10-inception-MN-2', 'mixture', 'red1 red2 inc3/0', 3, 4, .001),
    ('cifar10-inception-MN-3', 'mixture', 'inc2/0 inc3/0', 3, 2, .001),
    ('cifar10-inception-MN-4', 'mixture', 'inc2/0 inc3/0', 5, 2, .001),
    ('cifar100-inception-BN-1', 'batch', None, None, None, .001),
    ('cifar100-inception-BN-5', 'batch', None, None, None, .005),
    ('cifar100-inception-MN-1', 'mixture', 'red1 red2', 3, 8, .001),
    ('cifar100-inception-MN-2', 'mixture', 'red1 red2 inc3/0', 3, 4, .001),
    ('cifar100-inception-MN-4', 'mixture', 'inc2/0 inc3/0', 5, 2, .001),
    ('cifar100-inception-MN-5', 'mixture', 'inc2/0 inc3/0', 5, 2, .005),
)


def _inception(name, normalizer, at, components, em_iterations, lr):
    return {
        'dataset': name.split('-')[0], 'network': 'inception-v3',
        'optimizer': 'rmsprop', 'lr': lr, 'weight_decay': 5e-4, 'decay': .93,
        'decay_every': 4, 'batch_size': 128, 'epoch': 200,
        **normalized_at(normalizer, at, components, em_iterations)}


_NESTEROV_ROWS = (
    ('cifar100-inception-nesterov-2-BN', 'batch', None, .1, (75, 112.5)),
    ('cifar100-inception-nesterov-2-MN', 'mixture', 'inc2/1 inc3/0',
     .1, (75, 112.5)),
    ('cifar100-inception-nesterov-3-BN', 'batch', None, .2, (45, 90, 120)),
    ('cifar100-inception-nesterov-3-MN', 'mixture', 'inc2/1 inc3/0',
     .2, (45, 90, 120)),
)


def _nesterov(name, normalizer, at, decay, decay_at):
    return {
        'dataset': 'cifar100', 'network': 'inception-v3',
        'optimizer': 'nesterov', 'momentum': .9, 'lr': .14,
        'weight_decay': 5e-4, 'decay': decay, 'decay_at': list(decay_at),
        'batch_size': 256, 'epoch': 150, **normalized_at(normalizer, at, 5, 2)}


_DENSENET_ROWS = (
    ('cifar100-densenet-40-BN', 'batch', 40, None, None, None),
    ('cifar100-densenet-40-MN', 'mixture', 40,
     'transition1 transition2 last', 5, 2),
    ('cifar100-densenet-100-BN', 'batch', 100, None, None, None),
    ('cifar100-densenet-100-MN', 'mixture', 100,
     'transition1 transition2 last', 5, 2),
)


def _densenet(name, normalizer, depth, at, components, em_iterations):
    return {
        'dataset': 'cifar100', 'network': 'densenet', 'depth': depth,
        'growth_rate': 12, 'optimizer': 'nesterov', 'momentum': .9, 'lr': .1,
        'weight_decay': 1e-4, 'decay': .1, 'decay_at': [100, 150],
        'batch_size': 64, 'epoch': 200,
        **normalized_at(normalizer, at, components, em_iterations)}


_THROUGHPUT_ROWS = (
    ('throughput-20-64-BN', 'batch', 20, 64, None),
    ('throughput-20-64-MN-2', 'mixture', 20, 64, 2),
    ('throughput-20-64-MN-3', 'mixture', 20, 64, 3),
    ('throughput-20-64-MN-4', 'mixture', 20, 64, 4),
    ('throughput-20-64-MN-5', 'mixture', 20, 64, 5),
    ('throughput-40-64-BN', 'batch', 40, 64, None),
    ('throughput-40-64-MN-2', 'mixture', 40, 64, 2),
    ('throughput-40-64-MN-3', 'mixture', 40, 64, 3),
    ('throughput-40-64-MN-4', 'mixture', 40, 64, 4),
    ('throughput-40-64-MN-5', 'mixture', 40, 64, 5),
    ('throughput-40-128-BN', 'batch', 40, 128, None),
    ('throughput-40-128-MN-2', 'mixture', 40, 128, 2),
    ('throughput-40-128-MN-3', 'mixture', 40, 128, 3),
    ('throughput-40-128-MN-4', 'mixture', 40, 128, 4),
    ('throughput-40-128-MN-5', 'mixture', 40, 128, 5),
)


def _throughput(name, normalizer, depth, batch_size, components):
    return dict(_densenet(name, normalizer, depth, 'last', components, 2),
                batch_size=batch_size)


_AT_K_EM = 'at', 'K', 'EM iter.'

TABLES = (
    Table('Tables II and III: the five-layer network on CIFAR',
          ('recipe', 'normalizer', *_AT_K_EM, 'lr', 'weight decay'),
          _CNN_ROWS, _cnn,
          'All: RMSprop, batches of 256, 100 epochs, learning rate times 0.93 '
          'every two epochs.',
          {None: ('widths 64, 128, 128, 256',
                  'convolutions of 5x5 and 3x3, which its padding suggests',
                  'poolings of 3x3', _RMSPROP)}),
    Table('Tables IV and V: Inception-V3 on CIFAR',
          ('recipe', 'normalizer', *_AT_K_EM, 'lr'),
          _INCEPTION_ROWS, _inception,
          'All: RMSprop, weight decay 5e-4, batches of 128, 200 epochs, '
          'learning rate times 0.93 every four epochs.',
          {None: ('padding of the stem', _RMSPROP)}),
    Table('Table VI: Inception-V3 on CIFAR-100 with Nesterov\'s gradient',
          ('recipe', 'normalizer', 'at', 'decay', 'after epochs'),
          _NESTEROV_ROWS, _nesterov,
          'All: momentum 0.9, learning rate 0.14, batches of 256, 150 '
          'epochs.',
          {None: ('padding of the stem', 'weight decay 5e-4, of table IV'),
           'mixture': ('K 5 and EM iter. 2, of MN-4 in table IV',)}),
    Table('Section 4.4 and figure 5: DenseNet on CIFAR-100',
          ('recipe', 'normalizer', 'depth', *_AT_K_EM),
          _DENSENET_ROWS, _densenet,
          'All: growth rate 12, Nesterov\'s gradient with momentum 0.9, '
          'learning rate 0.1, times 0.1 after 100 and 150 epochs, batches of '
          '64, 200 epochs.',
          {None: ("weight decay 1e-4, DenseNet's own",
                  'first convolution of 16 channels')}),
    Table('Table VII: DenseNet on CIFAR-100, iterations per second',
          ('recipe', 'normalizer', 'depth', 'batch', 'K'),
          _THROUGHPUT_ROWS, _throughput,
          'All: growth rate 12, trained as in section 4.4. MN is at the last '
          'normalizer, of 196 channels for 20 layers (5 in each block) and '
          '448 for 40 (12 in each block).',
          {None: ('optimizer, learning rate and weight decay of section 4.4',
                  'first convolution of 16 channels'),
           'mixture': ('EM iter. 2, of section 4.4',)}),
)

RECIPES = recipes(TABLES)

RECONSTRUCTED = reconstructed(TABLES)
