import re

import pytest

from train.classifier import SETTINGS
from train.experiments import mixture_paper
from train.experiments.mixture_paper import RECIPES


LR_AND_WEIGHT_DECAY = {
    1: (0.01, 0.0001), 2: (0.01, 0.00002),
    3: (0.05, 0.0001), 4: (0.05, 0.00002)}


def _expected():
    """Yields (name, data set, setting, layers, EM iterations)."""
    for dataset in ('cifar10', 'cifar100'):
        for setting in (1, 2, 3, 4):
            yield f'{dataset}-cnn-BN-{setting}', setting, None, None
            yield (f'{dataset}-cnn-MN-{setting}', setting,
                   ['conv3'], 2)
    yield 'cifar100-cnn-MN-5', 2, ['conv3'], 4
    yield 'cifar100-cnn-MN-6', 2, ['conv3'], 8
    yield 'cifar100-cnn-MN-7', 2, ['conv2'], 2
    yield 'cifar100-cnn-MN-8', 2, ['conv2', 'conv3'], 2


@pytest.mark.parametrize('name, setting, layers, em_iterations',
                         list(_expected()))
def test_recipe(name, setting, layers, em_iterations):
    settings = SETTINGS.complete({'recipe': name})
    assert settings['dataset'] == name.split('-')[0]
    assert (settings['lr'], settings['weight_decay']) == (
        LR_AND_WEIGHT_DECAY[setting])
    assert settings['batch_size'] == 256
    assert settings['epoch'] == 100 and settings['iterations'] is None
    assert settings['decay'] == 0.93 and settings['decay_every'] == 2
    assert settings['optimizer'] == 'rmsprop'
    assert settings['widths'] == [64, 128, 128, 256]
    if layers is None:
        assert settings['normalizer'] == 'batch'
    else:
        assert settings['normalizer'] == 'mixture'
        assert settings['at'] == layers
        assert settings['components'] == 3
        assert settings['em_iterations'] == em_iterations


def test_there_are_no_other_recipes():
    assert set(RECIPES) == {name for name, *_ in _expected()}


def test_table_has_a_line_for_every_recipe():
    lines = mixture_paper.table().splitlines()
    for name, recipe in RECIPES.items():
        line, = (line for line in lines if line.split()[:1] == [name])
        assert re.split(r'\s{2,}|\s', line)[-1] in ('1e-4', '2e-5')
        assert f"{recipe['lr']:g}" in line.split()
