"""The rows of the mode normalization paper's tables.

Source: L. Deecke, I. Murray and H. Bilen, *Mode Normalization* (2019), and
the code that its authors published. BN is batch, IN instance, LN layer, GN
group, MN mode and MGN mode group normalization; in all layers, unless a row
says otherwise, with running averages that keep 0.9 (the paper's lambda is
0.1). What the paper does not state is said with each table, and in
:data:`RECONSTRUCTED` by recipe.
"""

from train.experiments.tables import reconstructed, recipes, Table


_SETS = ['mnist', 'fashion-mnist', 'cifar10', 'svhn']
_SEEDS = [0, 1, 2, 3, 4]

# The learning rate is cut after 2.5 and 3 of 3.5 million images, and after
# 35,000 and 42,500 of 50,000 updates: shares of a run.
_CUTS = [2.5 / 3.5, 3 / 3.5]
_SMALL_CUTS = [35000 / 50000, 42500 / 50000]


def _normalizer(normalizer, modes):
    found = {'normalizer': normalizer}
    if modes is not None:
        found['modes'] = modes
    return found


_MULTITASK_ROWS = (
    ('multitask-BN', 'batch', None, 128),
    ('multitask-IN', 'instance', None, 128),
    ('multitask-LN', 'layer', None, 128),
    ('multitask-MN-2', 'mode', 2, 128),
    ('multitask-MN-4', 'mode', 4, 128),
    ('multitask-MN-6', 'mode', 6, 128),
)

_LARGE_ROWS = (
    ('multitask-256-BN', 'batch', None, 256),
    ('multitask-256-IN', 'instance', None, 256),
    ('multitask-256-LN', 'layer', None, 256),
    ('multitask-256-MN-2', 'mode', 2, 256),
    ('multitask-256-MN-4', 'mode', 4, 256),
    ('multitask-256-MN-6', 'mode', 6, 256),
    ('multitask-512-BN', 'batch', None, 512),
    ('multitask-512-IN', 'instance', None, 512),
    ('multitask-512-LN', 'layer', None, 512),
    ('multitask-512-MN-2', 'mode', 2, 512),
    ('multitask-512-MN-4', 'mode', 4, 512),
    ('multitask-512-MN-6', 'mode', 6, 512),
)


def _multitask(name, normalizer, modes, batch_size):
    return {
        'sets': _SETS, 'seeds': _SEEDS, 'optimizer': 'sgd', 'lr': .05,
        'weight_decay': 0., 'decay': .1, 'cuts': _CUTS,
        'batch_size': batch_size, 'samples': 3500000,
        **_normalizer(normalizer, modes)}


_SMALL_ROWS = (
    ('multitask-small-4-BN', 'batch', None, None, 4),
    ('multitask-small-4-MN', 'mode', 2, None, 4),
    ('multitask-small-4-GN', 'group', None, 2, 4),
    ('multitask-small-4-MGN', 'mode_group', 2, None, 4),
    ('multitask-small-8-BN', 'batch', None, None, 8),
    ('multitask-small-8-MN', 'mode', 2, None, 8),
    ('multitask-small-8-GN', 'group', None, 2, 8),
    ('multitask-small-8-MGN', 'mode_group', 2, None, 8),
    ('multitask-small-16-BN', 'batch', None, None, 16),
    ('multitask-small-16-MN', 'mode', 2, None, 16),
    ('multitask-small-16-GN', 'group', None, 2, 16),
    ('multitask-small-16-MGN', 'mode_group', 2, None, 16),
)


def _small(name, normalizer, modes, groups, batch_size):
    return {
        'sets': _SETS, 'seeds': _SEEDS, 'optimizer': 'sgd', 'lr': .02,
        'weight_decay': 0., 'decay': .1, 'cuts': _SMALL_CUTS,
        'batch_size': batch_size, 'iterations': 50000,
        'normalizer_options': {} if groups is None else {'groups': groups},
        **_normalizer(normalizer, modes)}


_NIN_ROWS = (
    ('cifar10-nin-BN', 'batch', None),
    ('cifar10-nin-MN', 'mode', 2),
    ('cifar100-nin-BN', 'batch', None),
    ('cifar100-nin-MN', 'mode', 2),
)


def _nin(name, normalizer, modes):
    return {
        'dataset': name.split('-')[0], 'network': 'nin',
        'optimizer': 'momentum', 'momentum': .9, 'lr': .1, 'weight_decay': 0.,
        'decay': .1, 'decay_at': [65, 80], 'batch_size': 128, 'epoch': 100,
        **_normalizer(normalizer, modes)}


_VGG13_ROWS = (
    ('cifar10-vgg13-BN', 'batch', None),
    ('cifar10-vgg13-MN', 'mode', 2),
    ('cifar100-vgg13-BN', 'batch', None),
    ('cifar100-vgg13-MN', 'mode', 2),
)


def _vgg13(name, normalizer, modes):
    return dict(_nin(name, normalizer, modes), network='vgg13',
                decay_at=[65, 80, 90])


_RESNET_ROWS = (
    ('cifar10-resnet20-BN', 'batch', 20, None, None),
    ('cifar10-resnet20-MN', 'mode', 20, None, 2),
    ('cifar100-resnet20-BN', 'batch', 20, None, None),
    ('cifar100-resnet20-MN', 'mode', 20, None, 2),
)

_AUTHORS_ROWS = (
    ('cifar100-resnet56-MN', 'mode', 56, None, 2),
    ('cifar10-resnet20-MN-first', 'mode', 20, '@first', 4),
)


def _resnet(name, normalizer, depth, at, modes):
    return {
        'dataset': name.split('-')[0], 'network': 'resnet-cifar',
        'depth': depth, 'optimizer': 'momentum', 'momentum': .9, 'lr': .1,
        'weight_decay': 1e-4, 'decay': .1, 'decay_at': [80, 120],
        'batch_size': 128, 'epoch': 160, 'at': at and [at],
        **_normalizer(normalizer, modes)}


_IMAGENET_ROWS = (
    ('imagenet-resnet18-BN', 'batch', None),
    ('imagenet-resnet18-MN', 'mode', 2),
)


def _imagenet(name, normalizer, modes):
    return {
        'dataset': 'images', 'network': 'resnet18', 'optimizer': 'momentum',
        'momentum': .9, 'lr': .1, 'weight_decay': 1e-4, 'decay': .1,
        'decay_at': [30, 60], 'batch_size': 256, 'epoch': 90,
        **_normalizer(normalizer, modes)}


_OF_LENET = ('plain SGD, without weight decay',
             "LeNet-5's widths with ReLU and max pooling",
             'normalizers behind both convolutions')
_OF_CIFAR = 'momentum 0.9, and no weight decay, as none is stated'
_SCHEDULE = ("learning rate 0.1, cut after 80 and 120 epochs, of the authors' "
             'code')

MULTITASK_TABLES = (
    Table('Table 1: LeNet on four sets',
          ('recipe', 'normalizer', 'K', 'batch'),
          _MULTITASK_ROWS, _multitask,
          'All: five seeds, 3,500,000 images, learning rate times 0.1 after '
          '2,500,000 and 3,000,000.',
          {None: ('learning rate 0.05 at first', *_OF_LENET)}),
    Table('Table 5: the same, large batches',
          ('recipe', 'normalizer', 'K', 'batch'),
          _LARGE_ROWS, _multitask,
          'All: as in table 1.',
          {None: ('learning rate 0.05 at first', *_OF_LENET)}),
    Table('Table 2: the same, small batches',
          ('recipe', 'normalizer', 'K', 'groups', 'batch'),
          _SMALL_ROWS, _small,
          'All: five seeds, 50,000 updates, learning rate 0.02, times 0.1 '
          'after 35,000 and 42,500.',
          {None: _OF_LENET, 'mode': ('K 2',)}),
)

CLASSIFIER_TABLES = (
    Table('Table 3: Network In Network on CIFAR',
          ('recipe', 'normalizer', 'K'), _NIN_ROWS, _nin,
          'All: SGD with momentum, learning rate 0.1, times 0.1 after 65 and '
          '80 epochs, batches of 128, 100 epochs, dropout 0.25.',
          {None: (_OF_CIFAR, "widths of Lin et al.'s published "
                  'configuration', 'padding on all sides of what is pooled')}),
    Table('Table 3: VGG13 on CIFAR',
          ('recipe', 'normalizer', 'K'), _VGG13_ROWS, _vgg13,
          'All: SGD with momentum, learning rate 0.1, times 0.1 after 65, 80 '
          'and 90 epochs, batches of 128, 100 epochs.',
          {None: (_OF_CIFAR, 'linear layers of 512 without dropout',
                  'flips and crops, as for Network In Network')}),
    Table('Table 3: ResNet20 on CIFAR',
          ('recipe', 'normalizer', 'depth', 'at', 'K'), _RESNET_ROWS, _resnet,
          'All: SGD with momentum 0.9, weight decay 1e-4, batches of 128, 160 '
          'epochs, learning rate 0.1, times 0.1 after 80 and 120 epochs.',
          {None: (_SCHEDULE,)}),
    Table("The authors' repository: residual networks on CIFAR",
          ('recipe', 'normalizer', 'depth', 'at', 'K'), _AUTHORS_ROWS,
          _resnet, 'All: as ResNet20 in table 3.',
          {None: ('training of table 3',)}),
    Table('Table 4: ResNet18 on ILSVRC12 (--images FOLDER)',
          ('recipe', 'normalizer', 'K'), _IMAGENET_ROWS, _imagenet,
          'All: SGD with momentum 0.9, weight decay 1e-4, learning rate 0.1, '
          'times 0.1 after 30 and 60 epochs, batches of 256, 90 epochs.',
          {None: ('statistics of a whole batch, in place of 64 images on '
                  'each of four GPUs',)}),
)

MULTITASK_RECIPES = recipes(MULTITASK_TABLES)

CLASSIFIER_RECIPES = recipes(CLASSIFIER_TABLES)

RECONSTRUCTED = reconstructed(MULTITASK_TABLES + CLASSIFIER_TABLES)

# Recipes that series were saved with, before table 2 had a recipe for each
# row.
FORMER_RECIPES = (
    'multitask-small-BN', 'multitask-small-MN-2', 'multitask-small-MN-4',
    'multitask-small-MN-6')
