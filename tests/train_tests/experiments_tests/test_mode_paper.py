"""The recipes beside the figures of the paper's tables."""

import numpy
import pytest

from train import multitask
from train.classifier import SETTINGS
from train.data.task_sets import Union
from train.experiments import mode_paper
from train.experiments.tables import as_text


def _expected_multitask():
    """Yields names, normalizers with their options, batch sizes."""
    # Tables 1 and 5.
    for prefix, batch_size in (('multitask', 128), ('multitask-256', 256),
                               ('multitask-512', 512)):
        for row, expected in (
                ('BN', {'normalizer': 'batch'}),
                ('IN', {'normalizer': 'instance'}),
                ('LN', {'normalizer': 'layer'}),
                ('MN-2', {'normalizer': 'mode', 'modes': 2}),
                ('MN-4', {'normalizer': 'mode', 'modes': 4}),
                ('MN-6', {'normalizer': 'mode', 'modes': 6})):
            yield f'{prefix}-{row}', expected, batch_size
    # Table 2.
    for batch_size in (4, 8, 16):
        for row, expected in (
                ('BN', {'normalizer': 'batch'}),
                ('MN', {'normalizer': 'mode', 'modes': 2}),
                ('GN', {'normalizer': 'group',
                        'normalizer_options': {'groups': 2}}),
                ('MGN', {'normalizer': 'mode_group', 'modes': 2})):
            yield f'multitask-small-{batch_size}-{row}', expected, batch_size


def _expected_classifiers():
    """Yields names and settings."""
    momentum = {
        'optimizer': 'momentum', 'momentum': .9, 'lr': .1, 'decay': .1,
        'decay_every': None, 'at': None}
    for dataset in ('cifar10', 'cifar100'):
        for row, normalizer in (
                ('BN', {'normalizer': 'batch'}),
                ('MN', {'normalizer': 'mode', 'modes': 2})):
            # Table 3.
            of_all = {**momentum, **normalizer, 'dataset': dataset,
                      'batch_size': 128}
            yield f'{dataset}-nin-{row}', dict(
                of_all, network='nin', weight_decay=0, epoch=100,
                decay_at=[65, 80])
            yield f'{dataset}-vgg13-{row}', dict(
                of_all, network='vgg13', weight_decay=0, epoch=100,
                decay_at=[65, 80, 90])
            yield f'{dataset}-resnet20-{row}', dict(
                of_all, network='resnet-cifar', depth=20, weight_decay=1e-4,
                epoch=160, decay_at=[80, 120])
    resnet = dict(
        momentum, network='resnet-cifar', weight_decay=1e-4, epoch=160,
        decay_at=[80, 120], batch_size=128, normalizer='mode')
    # The authors' repository.
    yield 'cifar100-resnet56-MN', dict(
        resnet, dataset='cifar100', depth=56, modes=2)
    yield 'cifar10-resnet20-MN-first', dict(
        resnet, dataset='cifar10', depth=20, modes=4, at=['@first'])
    # Table 4.
    for row, normalizer in (('BN', {'normalizer': 'batch'}),
                            ('MN', {'normalizer': 'mode', 'modes': 2})):
        yield f'imagenet-resnet18-{row}', {
            **momentum, **normalizer, 'dataset': 'images',
            'network': 'resnet18', 'weight_decay': 1e-4, 'epoch': 90,
            'decay_at': [30, 60], 'batch_size': 256}


class _Started(Exception):
    pass


def _complete(*arguments):
    """Returns the settings that the script would start a series with."""
    part = Union(numpy.zeros((512, 3, 32, 32), numpy.uint8),
                 numpy.zeros(512, numpy.int32), numpy.zeros(512, numpy.int32))

    def start(path, description):
        raise _Started(description['settings'])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            multitask.task_sets, 'load', lambda *arguments: (part, part))
        patch.setattr(multitask.files, 'write_json', start)
        with pytest.raises(_Started) as started:
            multitask.train(*multitask.SETTINGS.parse(arguments))
    settings, = started.value.args
    return settings


@pytest.fixture(autouse=True)
def _in_a_free_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    'name, expected, batch_size', list(_expected_multitask()))
def test_recipe_with_several_sets(name, expected, batch_size):
    settings = _complete('--recipe', name)
    expected = {'normalizer_options': {}, 'at': None, **expected}
    assert {key: settings[key] for key in expected} == expected
    assert settings['recipe'] == name
    assert settings['sets'] == ['mnist', 'fashion-mnist', 'cifar10', 'svhn']
    assert settings['optimizer'] == 'sgd' and settings['momentum'] is None
    assert settings['weight_decay'] == 0 and settings['decay'] == .1
    assert settings['widths'] == [6, 16, 120, 84]
    assert settings['train_size'] is None and settings['test_size'] is None
    assert settings['batch_size'] == batch_size
    assert settings['scale'] == 1
    cuts = [share * settings['iterations'] for share in settings['cuts']]
    if 'small' in name:
        assert settings['lr'] == .02
        assert settings['iterations'] == 50000
        assert cuts == pytest.approx([35000, 42500])
    else:
        assert settings['lr'] == .05
        # 3.5 million images, in whole batches.
        assert settings['iterations'] == {
            128: 27343, 256: 13671, 512: 6835}[batch_size]
        assert [batch_size * cut for cut in cuts] == pytest.approx(
            [2500000, 3000000], abs=batch_size)


def test_five_seeds():
    assert {name: multitask.SETTINGS.complete({'recipe': name})['seeds']
            for name in mode_paper.MULTITASK_RECIPES} == {
        name: [0, 1, 2, 3, 4] for name, _, _ in _expected_multitask()}
    assert multitask.SETTINGS.complete(
        {'recipe': 'multitask-BN', 'seeds': [7]})['seeds'] == [7]


@pytest.mark.parametrize('name, expected', list(_expected_classifiers()))
def test_recipe_with_one_set(name, expected):
    settings = SETTINGS.complete({'recipe': name})
    assert {key: settings[key] for key in expected} == expected
    assert settings['normalizer_options'] == {}
    assert settings['iterations'] is None and settings['scale'] == 1


def test_there_are_no_other_recipes():
    classifiers = [name for name, _ in _expected_classifiers()]
    series = [name for name, _, _ in _expected_multitask()]
    assert sorted(mode_paper.CLASSIFIER_RECIPES) == sorted(classifiers)
    assert sorted(mode_paper.MULTITASK_RECIPES) == sorted(series)
    assert sorted(mode_paper.RECONSTRUCTED) == sorted(classifiers + series)


@pytest.mark.parametrize('name, words', [
    ('multitask-MN-2', 'learning rate 0.05'), ('multitask-512-IN', 'SGD'),
    ('multitask-small-8-MN', 'K 2'), ('cifar10-nin-BN', 'momentum 0.9'),
    ('cifar100-vgg13-MN', 'linear layers'),
    ('cifar10-resnet20-BN', '80 and 120'),
    ('imagenet-resnet18-MN', 'four GPUs')])
def test_what_is_reconstructed_is_told(name, words):
    assert any(words in phrase for phrase in mode_paper.RECONSTRUCTED[name])
    text = ' '.join(as_text(
        mode_paper.MULTITASK_TABLES + mode_paper.CLASSIFIER_TABLES).split())
    for phrase in mode_paper.RECONSTRUCTED[name]:
        assert phrase in text


def test_same_settings_with_and_without_a_recipe():
    recipe, other = (_complete(*arguments.split()) for arguments in (
        '--recipe multitask-small-16-MN --modes 4',
        '--sets mnist fashion-mnist cifar10 svhn --normalizer mode --modes 4 '
        '--lr .02 --iterations 50000 --cuts .7 .85 --batch-size 16'))
    assert dict(recipe, recipe=None) == other


@pytest.mark.parametrize('arguments, expected', [
    ('--recipe multitask-BN --batch-size 256', {'iterations': 13671}),
    ('--recipe multitask-BN --batch-size 512', {'iterations': 6835}),
    ('--recipe multitask-BN --samples 1000', {'iterations': 7}),
    ('--recipe multitask-BN --samples 100', {'iterations': 1}),
    ('--recipe multitask-BN --iterations 9', {'iterations': 9}),
    ('--recipe multitask-small-16-BN --batch-size 4',
     {'iterations': 50000, 'batch_size': 4}),
    ('--recipe multitask-small-16-BN --samples 1000', {'iterations': 62}),
    ('--recipe multitask-MN-2 --modes 3 --at conv2',
     {'modes': 3, 'at': ['conv2'], 'normalizer': 'mode'}),
    ('--recipe multitask-MN-2 --normalizer mixture --components 4',
     {'normalizer': 'mixture', 'components': 4}),
    ('--recipe multitask-MN-2 --sets digits textures --lr 1',
     {'sets': ['digits', 'textures'], 'lr': 1.}),
    ('--samples 6400', {'iterations': 100, 'recipe': None}),
    ('', {'iterations': 1000, 'sets': ['digits', 'textures']})])
def test_given_goes_before_recipe_goes_before_default(arguments, expected):
    settings = _complete(*arguments.split())
    assert {key: settings[key] for key in expected} == expected
    assert 'samples' not in settings


def test_text_has_a_line_for_every_recipe():
    lines = as_text(mode_paper.MULTITASK_TABLES
                    + mode_paper.CLASSIFIER_TABLES).splitlines()
    for name in mode_paper.RECONSTRUCTED:
        assert len([line for line in lines if line.split()[:1] == [name]]) == 1
    row, = (line for line in lines if line.startswith('multitask-small-8-GN'))
    assert row.split() == [
        'multitask-small-8-GN', 'group', '-', '2', '8']
