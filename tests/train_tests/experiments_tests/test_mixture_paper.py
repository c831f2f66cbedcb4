"""The recipes beside the figures of the paper's tables."""

import pytest

from models.densenet import DenseNet
from train.classifier import SETTINGS
from train.experiments import mixture_paper
from train.experiments.tables import as_text


# Table II: layers, K, EM iter.; learning rate, weight decay.
TABLE_II = {
    'cifar10': {
        'BN-1': (None, (.01, 1e-4)), 'BN-2': (None, (.01, 2e-5)),
        'BN-3': (None, (.05, 1e-4)), 'BN-4': (None, (.05, 2e-5)),
        'MN-1': ((['conv3'], 3, 2), (.01, 1e-4)),
        'MN-2': ((['conv3'], 3, 2), (.01, 2e-5)),
        'MN-3': ((['conv3'], 3, 2), (.05, 1e-4)),
        'MN-4': ((['conv3'], 3, 2), (.05, 2e-5))},
    'cifar100': {
        'BN-1': (None, (.01, 1e-4)), 'BN-2': (None, (.01, 2e-5)),
        'BN-3': (None, (.05, 1e-4)), 'BN-4': (None, (.05, 2e-5)),
        'MN-1': ((['conv3'], 3, 2), (.01, 1e-4)),
        'MN-2': ((['conv3'], 3, 2), (.01, 2e-5)),
        'MN-3': ((['conv3'], 3, 2), (.05, 1e-4)),
        'MN-4': ((['conv3'], 3, 2), (.05, 2e-5)),
        'MN-5': ((['conv3'], 3, 4), (.01, 2e-5)),
        'MN-6': ((['conv3'], 3, 8), (.01, 2e-5)),
        'MN-7': ((['conv2'], 3, 2), (.01, 2e-5)),
        'MN-8': ((['conv2', 'conv3'], 3, 2), (.01, 2e-5))}}

# Table IV: layers, K, EM iter.; learning rate.
TABLE_IV = {
    'cifar10': {
        'BN-1': (None, .001),
        'MN-1': ((['red1', 'red2'], 3, 8), .001),
        'MN-2': ((['inc3/0', 'red1', 'red2'], 3, 4), .001),
        'MN-3': ((['inc2/0', 'inc3/0'], 3, 2), .001),
        'MN-4': ((['inc2/0', 'inc3/0'], 5, 2), .001)},
    'cifar100': {
        'BN-1': (None, .001), 'BN-5': (None, .005),
        'MN-1': ((['red1', 'red2'], 3, 8), .001),
        'MN-2': ((['inc3/0', 'red1', 'red2'], 3, 4), .001),
        'MN-4': ((['inc2/0', 'inc3/0'], 5, 2), .001),
        'MN-5': ((['inc2/0', 'inc3/0'], 5, 2), .005)}}

# Table VI: by number of cuts, the factor and the shares of 150 epochs.
TABLE_VI = {2: (.1, (.5, .75)), 3: (.2, (.3, .6, .8))}

# Table VII: layers, batch size.
TABLE_VII = (20, 64), (40, 64), (40, 128)


def _expected():
    """Yields names and settings, as the paper has them."""
    for dataset, rows in TABLE_II.items():
        for row, (places, (lr, weight_decay)) in rows.items():
            yield f'{dataset}-cnn-{row}', places, {
                'dataset': dataset, 'network': 'cnn', 'optimizer': 'rmsprop',
                'lr': lr, 'weight_decay': weight_decay, 'batch_size': 256,
                'epoch': 100, 'decay': .93, 'decay_every': 2,
                'decay_at': None, 'widths': [64, 128, 128, 256]}
    for dataset, rows in TABLE_IV.items():
        for row, (places, lr) in rows.items():
            yield f'{dataset}-inception-{row}', places, {
                'dataset': dataset, 'network': 'inception-v3',
                'optimizer': 'rmsprop', 'lr': lr, 'weight_decay': 5e-4,
                'batch_size': 128, 'epoch': 200, 'decay': .93,
                'decay_every': 4, 'decay_at': None}
    for n_cuts, (factor, shares) in TABLE_VI.items():
        for row, places in (
                ('BN', None), ('MN', (['inc2/1', 'inc3/0'], 5, 2))):
            yield f'cifar100-inception-nesterov-{n_cuts}-{row}', places, {
                'dataset': 'cifar100', 'network': 'inception-v3',
                'optimizer': 'nesterov', 'momentum': .9, 'lr': .14,
                'weight_decay': 5e-4, 'batch_size': 256, 'epoch': 150,
                'decay': factor, 'decay_every': None,
                'decay_at': [round(150 * share, 9) for share in shares]}
    densenet = {
        'dataset': 'cifar100', 'network': 'densenet', 'growth_rate': 12,
        'optimizer': 'nesterov', 'momentum': .9, 'lr': .1,
        'weight_decay': 1e-4, 'epoch': 200, 'decay': .1,
        'decay_every': None, 'decay_at': [100, 150]}
    for depth in (40, 100):
        for row, places in (('BN', None), ('MN', (
                ['last', 'transition1', 'transition2'], 5, 2))):
            yield f'cifar100-densenet-{depth}-{row}', places, dict(
                densenet, depth=depth, batch_size=64)
    for depth, batch_size in TABLE_VII:
        yield f'throughput-{depth}-{batch_size}-BN', None, dict(
            densenet, depth=depth, batch_size=batch_size)
        for k in (2, 3, 4, 5):
            yield (f'throughput-{depth}-{batch_size}-MN-{k}',
                   (['last'], k, 2),
                   dict(densenet, depth=depth, batch_size=batch_size))


@pytest.mark.parametrize('name, places, expected', list(_expected()))
def test_recipe(name, places, expected):
    settings = SETTINGS.complete({'recipe': name})
    if places is None:
        expected = dict(expected, normalizer='batch', at=None)
    else:
        at, components, em_iterations = places
        expected = dict(expected, normalizer='mixture', at=at,
                        components=components, em_iterations=em_iterations)
    assert {key: settings[key] for key in expected} == expected
    assert settings['normalizer_options'] == {}
    assert settings['iterations'] is None and settings['scale'] == 1
    assert settings['train_size'] is None and settings['dtype'] == 'float32'


def test_there_are_no_other_recipes():
    names = [name for name, _, _ in _expected()]
    assert sorted(mixture_paper.RECIPES) == sorted(names)
    assert sorted(mixture_paper.RECONSTRUCTED) == sorted(names)


def test_last_normalizer_of_table_vii():
    for depth, channels in ((20, 196), (40, 448)):
        assert DenseNet(100, depth, 12, 3).last.gamma.shape == (channels,)


@pytest.mark.parametrize('name, words', [
    ('cifar10-cnn-BN-1', 'widths'), ('cifar100-inception-MN-4', 'padding'),
    ('cifar100-inception-nesterov-3-MN', 'K 5 and EM iter. 2'),
    ('cifar100-inception-nesterov-2-BN', 'weight decay 5e-4'),
    ('cifar100-densenet-100-BN', 'weight decay 1e-4'),
    ('throughput-20-64-MN-4', 'EM iter. 2')])
def test_what_is_reconstructed_is_told(name, words):
    assert any(words in phrase
               for phrase in mixture_paper.RECONSTRUCTED[name])
    text = ' '.join(as_text(mixture_paper.TABLES).split())
    for phrase in mixture_paper.RECONSTRUCTED[name]:
        assert phrase in text


def test_batch_normalization_has_no_mixture_to_reconstruct():
    assert not any('EM iter.' in phrase for name, phrases in
                   mixture_paper.RECONSTRUCTED.items() if 'BN' in name
                   for phrase in phrases)


def test_text_has_a_line_for_every_recipe():
    lines = as_text(mixture_paper.TABLES).splitlines()
    for name in mixture_paper.RECIPES:
        assert len([line for line in lines if line.split()[:1] == [name]]) == 1
    row, = (line for line in lines if line.startswith('cifar100-cnn-MN-8'))
    assert row.split() == ['cifar100-cnn-MN-8', 'mixture', 'conv2', 'conv3',
                           '3', '2', '0.01', '2e-5']
