import numpy
import pytest

from train import multitask
from train.data.task_sets import Union
from train.experiments import mode_paper
from train.experiments.mode_paper import RECIPES


def _expected():
    """Yields (name, normalizer, modes)."""
    for prefix in ('multitask', 'multitask-small'):
        yield f'{prefix}-BN', 'batch', None
        for n_modes in (2, 4, 6):
            yield f'{prefix}-MN-{n_modes}', 'mode', n_modes


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


@pytest.mark.parametrize('name, normalizer, modes', list(_expected()))
def test_recipe(name, normalizer, modes):
    settings = _complete('--recipe', name)
    assert settings['recipe'] == name
    assert settings['sets'] == ['mnist', 'fashion-mnist', 'cifar10', 'svhn']
    assert settings['normalizer'] == normalizer
    assert modes is None or settings['modes'] == modes
    assert settings['at'] is None and settings['normalizer_options'] == {}
    assert settings['optimizer'] == 'sgd'
    assert settings['weight_decay'] == 0 and settings['decay'] == .1
    assert settings['widths'] == [6, 16, 120, 84]
    assert settings['train_size'] is None and settings['test_size'] is None
    cuts = [round(share * settings['iterations'])
            for share in settings['cuts']]
    if 'small' in name:
        assert settings['batch_size'] == 16 and settings['lr'] == .02
        assert settings['iterations'] == 50000
        assert cuts == [35000, 42500]
    else:
        # 3.5 million images: 27343 whole batches, and 96 images left.
        assert settings['batch_size'] == 128
        assert settings['iterations'] == 27343
        assert [abs(cut * 128 - images) < 128 for cut, images in zip(
            cuts, (2500000, 3000000))] == [True, True]


def test_there_are_no_other_recipes():
    assert set(RECIPES) == {name for name, *_ in _expected()}


def test_same_settings_with_and_without_a_recipe():
    recipe, other = (_complete(*arguments.split()) for arguments in (
        '--recipe multitask-small-MN-4',
        '--sets mnist fashion-mnist cifar10 svhn --normalizer mode --modes 4 '
        '--lr .02 --iterations 50000 --cuts .7 .85 --batch-size 16'))
    assert dict(recipe, recipe=None) == other


@pytest.mark.parametrize('arguments, expected', [
    ('--recipe multitask-BN --batch-size 256', {'iterations': 13671}),
    ('--recipe multitask-BN --batch-size 512', {'iterations': 6835}),
    ('--recipe multitask-BN --samples 1000', {'iterations': 7}),
    ('--recipe multitask-BN --samples 100', {'iterations': 1}),
    ('--recipe multitask-BN --iterations 9', {'iterations': 9}),
    ('--recipe multitask-small-BN --batch-size 4',
     {'iterations': 50000, 'batch_size': 4}),
    ('--recipe multitask-small-BN --samples 1000', {'iterations': 62}),
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


def test_table_has_a_line_for_every_recipe():
    lines = [line.split() for line in mode_paper.table().splitlines()]
    rows = {line[0]: line[1:] for line in lines
            if line and line[0] in RECIPES}
    for name, normalizer, modes in _expected():
        length = ['50,000', 'updates', '0.02'] if 'small' in name else [
            '3,500,000', 'images', '0.05']
        assert rows[name] == [
            normalizer, str(modes or '-'), '16' if 'small' in name else '128',
            *length]
