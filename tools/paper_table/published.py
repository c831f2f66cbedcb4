"""The figures of both papers' tables, by the recipes of this project.

Sources: M. M. Kalayeh and M. Shah, *Training Faster by Separating Modes of
Variation in Batch-normalized Models* (2019), tables with Roman numerals,
section 4.4 and figure 6; L. Deecke, I. Murray and H. Bilen, *Mode
Normalization* (2019), tables with Arabic numerals; and the repository of the
latter's authors, ldeecke/mn-torch.
"""

import math
import typing


NOT_REACHED = math.inf


class Column(typing.NamedTuple):

    """What one column of a table holds.

    Attributes:
        figure (str): One of those that a run has, or ``'steps'``.
        title (str): What tells it from the table's other columns; empty if
            there are none.
        digits (int): Digits after the point.
        axis (str): What it is, with its unit.

    """

    figure: str
    title: str
    digits: int
    axis: str


class Table(typing.NamedTuple):

    """One table of a paper.

    Attributes:
        key (str): What a user calls it.
        title (str): Which table it is, and what it holds.
        script (str): What makes results for it.
        columns (tuple of Column): Its columns.
        groups (tuple of dict): Rows that are compared with one another, a
            dictionary from recipes to figures in the columns' order. The
            first row is the baseline. A figure is a number, a pair of mean
            and standard deviation, ``None`` where the paper has none, or
            ``NOT_REACHED``.
        note (str): What else there is to know of it.

    """

    key: str
    title: str
    script: str
    columns: tuple
    groups: tuple
    note: str = ''

    @property
    def rows(self):
        """All rows, a dictionary."""
        return {recipe: figures for group in self.groups
                for recipe, figures in group.items()}


def _group(prefix, rows):
    return {f'{prefix}-{name}': figures if isinstance(figures, tuple)
            else (figures,) for name, figures in rows.items()}


def _quarters(length):
    """Returns columns of the best up to each quarter of so many epochs."""
    return tuple(
        Column(f'accuracy {quarter}/4', str(quarter * length // 4), 2,
               f'best accuracy up to {quarter * length // 4} epochs, %')
        for quarter in (1, 2, 3, 4))


_STEPS = (Column('steps', 'steps', 2, 'updates to the target, in 10,000'),
          Column('accuracy', 'best', 2, 'best test accuracy, %'))

_ERROR = (Column('error', '', 2, 'best test error, %'),)

_TARGET = ('The target of ours is the best accuracy that our runs of the '
           'baseline reached.')

_MIXTURE = 'of Kalayeh & Shah'
_MODE = 'of Deecke, Murray & Bilen'

_II = Table(
    'II', f'Table II {_MIXTURE}: five-layer network, best test accuracy in % '
    'up to 25, 50, 75 and 100 epochs (times --scale)', 'classifier',
    _quarters(100), (
        _group('cifar10-cnn', {
            'BN-1': (79.37, 84.34, 86.24, 86.74),
            'BN-2': (84.11, 86.92, 87.65, 87.95),
            'BN-3': (68.77, 71.68, 75.25, 77.35),
            'BN-4': (73.84, 77.84, 81.43, 82.58),
            'MN-1': (81.91, 85.10, 86.51, 87.08),
            'MN-2': (85.56, 87.28, 88.05, 88.47),
            'MN-3': (67.84, 73.09, 74.80, 77.33),
            'MN-4': (76.70, 80.82, 83.31, 83.87)}),
        _group('cifar100-cnn', {
            'BN-1': (52.54, 57.83, 60.37, 62.11),
            'BN-2': (56.09, 60.05, 61.46, 62.14),
            'BN-3': (23.13, 28.12, 33.21, 36.80),
            'BN-4': (36.98, 43.89, 46.95, 49.08),
            'MN-1': (55.30, 60.47, 61.46, 62.20),
            'MN-2': (59.04, 60.86, 61.77, 62.29),
            'MN-3': (29.80, 36.30, 40.66, 43.77),
            'MN-4': (42.31, 48.96, 51.98, 52.62),
            'MN-5': (59.05, 61.94, 62.56, 62.76),
            'MN-6': (58.98, 61.83, 62.67, 63.12),
            'MN-7': (57.63, 61.23, 62.15, 62.63),
            'MN-8': (59.79, 61.67, 62.50, 62.96)})))

_III = Table(
    'III', f'Table III {_MIXTURE}: five-layer network, updates to the best '
    'accuracy of BN-2, in 10,000, and best test accuracy in %', 'classifier',
    _STEPS, (
        _group('cifar10-cnn', {
            'BN-2': (1.95, 87.95), 'MN-2': (1.34, 88.47)}),
        _group('cifar100-cnn', {
            'BN-2': (1.81, 62.14), 'MN-2': (1.77, 62.29),
            'MN-5': (1.07, 62.76), 'MN-6': (1.09, 63.12),
            'MN-7': (1.34, 62.63), 'MN-8': (1.03, 62.96)})), _TARGET)

_IV = Table(
    'IV', f'Table IV {_MIXTURE}: Inception-V3, best test accuracy in % up to '
    '50, 100, 150 and 200 epochs (times --scale)', 'classifier',
    _quarters(200), (
        _group('cifar10-inception', {
            'BN-1': (89.18, 90.62, 91.08, 91.50),
            'MN-1': (89.47, 91.03, 91.70, 91.91),
            'MN-2': (89.73, 91.69, 92.09, 92.55),
            'MN-3': (90.49, 91.52, 92.17, 92.30),
            'MN-4': (90.26, 91.77, 92.00, 92.25)}),
        _group('cifar100-inception', {
            'BN-1': (66.88, 69.44, 71.03, 71.30),
            'BN-5': (40.68, 47.47, 51.13, 52.63),
            'MN-1': (66.6, 68.86, 70.01, 70.43),
            'MN-2': (68.26, 70.78, 71.78, 72.23),
            'MN-4': (68.4, 70.99, 71.98, 72.74),
            'MN-5': (50.41, 55.69, 57.88, 59.10)})))

_V = Table(
    'V', f'Table V {_MIXTURE}: Inception-V3, updates to the best accuracy of '
    'BN-1, in 10,000, and best test accuracy in %', 'classifier', _STEPS, (
        _group('cifar10-inception', {
            'BN-1': (7.34, 91.50), 'MN-1': (4.29, 91.91),
            'MN-2': (3.86, 92.55), 'MN-3': (3.82, 92.30),
            'MN-4': (3.58, 92.25)}),
        _group('cifar100-inception', {
            'BN-1': (7.34, 71.30), 'MN-1': (NOT_REACHED, 70.43),
            'MN-2': (4.57, 72.23), 'MN-4': (3.93, 72.74)})),
    f'{_TARGET} BN-1 has 7.34 on both data sets in the paper.')

_VI = Table(
    'VI', f'Table VI {_MIXTURE}: Inception-V3 on CIFAR-100, two cuts of the '
    'learning rate by 10 or three by 5, updates to the best accuracy of BN, '
    'in 10,000, and best test accuracy in %', 'classifier', _STEPS, (
        _group('cifar100-inception-nesterov-2', {
            'BN': (2.78, 75.75), 'MN': (1.52, 77.30)}),
        _group('cifar100-inception-nesterov-3', {
            'BN': (2.41, 75.20), 'MN': (1.79, 77.32)})), _TARGET)

_DENSENET = Table(
    'densenet', f'Section 4.4 {_MIXTURE}: DenseNet on CIFAR-100, best test '
    'error in %', 'classifier', _ERROR, (
        _group('cifar100-densenet-40', {'BN': 25.10, 'MN': 24.63}),
        _group('cifar100-densenet-100', {'BN': 21.93, 'MN': 20.97})))

_FIGURE_6 = Table(
    'figure-6', f'Figure 6 {_MIXTURE}: DCGAN on CIFAR-10, updates to the '
    'lowest Frechet distance of BN, in 10,000, and the lowest', 'gan', (
        Column('steps', 'steps', 2, 'updates to the target, in 10,000'),
        Column('distance', 'lowest', 2, 'lowest Frechet distance')),
    (_group('cifar10-dcgan', {'BN': (6., 37.56), 'MN': (2.5, 33.35)}),),
    'The target of ours is the lowest distance of our runs of BN. Distances '
    'by other features are not on one scale.')

_VII = Table(
    'VII', f'Table VII {_MIXTURE}: DenseNet, layers and batch size in the '
    'name, iterations per second, and as a multiple of BN\'s', 'throughput', (
        Column('iterations', 'per s', 2, 'iterations per second'),
        Column('ratio', 'to BN', 3, 'multiple of BN')),
    tuple(_group(name, {
        key: (figure, figure / rows['BN']) for key, figure in rows.items()})
        for name, rows in {
            'throughput-20-64': {
                'BN': 16.40, 'MN-2': 14.46, 'MN-3': 14.42, 'MN-4': 13.91,
                'MN-5': 13.69},
            'throughput-40-64': {
                'BN': 9.26, 'MN-2': 8.83, 'MN-3': 8.51, 'MN-4': 8.52,
                'MN-5': 8.41},
            'throughput-40-128': {
                'BN': 7.35, 'MN-2': 6.59, 'MN-3': 6.51, 'MN-4': 6.41,
                'MN-5': 6.38}}.items()),
    'The paper does not name its hardware; its multiples are quotients of its '
    'iterations per second.')

_1 = Table(
    '1', f'Table 1 {_MODE}: LeNet on four sets, best test error in %',
    'multitask', _ERROR, (
        _group('multitask', {
            'BN': ((26.91, 1.08),), 'IN': ((28.87, 2.28),),
            'LN': ((27.31, .71),), 'MN-2': ((23.16, 1.23),),
            'MN-4': ((24.25, .71),), 'MN-6': ((25.12, 1.48),)}),))

_2 = Table(
    '2', f'Table 2 {_MODE}: LeNet on four sets, small batches, best test '
    'error in %', 'multitask', _ERROR, (
        _group('multitask-small-4', {
            'BN': ((33.40, .75),), 'MN': ((32.80, 1.59),),
            'GN': ((32.15, 1.10),), 'MGN': ((31.30, 1.65),)}),
        _group('multitask-small-8', {
            'BN': ((31.98, 1.53),), 'MN': ((29.05, 1.51),),
            'GN': ((28.60, 1.45),), 'MGN': ((26.83, 1.34),)}),
        _group('multitask-small-16', {
            'BN': ((30.38, .60),), 'MN': ((28.70, .68),),
            'GN': ((27.63, .45),), 'MGN': ((26.00, 1.68),)})))

_3 = Table(
    '3', f'Table 3 {_MODE}: test error in %', 'classifier', _ERROR, tuple(
        _group(name, {'BN': batch, 'MN': mode}) for name, batch, mode in (
            ('cifar10-nin', 8.82, 8.42), ('cifar10-vgg13', 8.28, 7.79),
            ('cifar10-resnet20', 8.44, 7.99), ('cifar100-nin', 32.30, 31.66),
            ('cifar100-vgg13', 31.15, 30.06),
            ('cifar100-resnet20', 31.56, 30.53))),
    "The paper also has the original publications' figures on CIFAR-10: NIN "
    '8.81, ResNet20 8.75.')

_4 = Table(
    '4', f'Table 4 {_MODE}: ResNet18 on ILSVRC12, top-1 and top-5 test error '
    'in %', 'classifier', (
        Column('error', 'top-1', 2, 'top-1 test error, %'),
        Column('top-5 error', 'top-5', 2, 'top-5 test error, %')),
    (_group('imagenet-resnet18', {
        'BN': (30.25, 10.90), 'MN': (30.07, 10.65)}),))

_5 = Table(
    '5', f'Table 5 {_MODE}: LeNet on four sets, large batches, best test '
    'error in %', 'multitask', _ERROR, (
        _group('multitask-256', {
            'BN': ((26.34, 1.82),), 'IN': ((31.15, 3.45),),
            'LN': ((26.95, 2.51),), 'MN-2': ((25.29, 1.31),),
            'MN-4': ((25.04, 1.88),), 'MN-6': ((24.88, 1.24),)}),
        _group('multitask-512', {
            'BN': ((26.51, 1.15),), 'IN': ((29.00, 1.85),),
            'LN': ((28.98, 1.32),), 'MN-2': ((26.18, 1.86),),
            'MN-4': ((24.29, 1.82),), 'MN-6': ((25.33, 1.33),)})))

_REPOSITORY = Table(
    'repository', "The repository of Deecke, Murray & Bilen's: test error in "
    '%', 'classifier', _ERROR, (
        {'cifar100-resnet56-MN': (28.75,)},
        {'cifar10-resnet20-MN-first': (7.73,)}))

TABLES = {table.key: table for table in (
    _II, _III, _IV, _V, _VI, _VII, _DENSENET, _FIGURE_6, _1, _2, _3, _4, _5,
    _REPOSITORY)}
