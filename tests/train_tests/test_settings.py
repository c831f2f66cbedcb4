import pytest

from train import classifier
from train import gan
from train import multitask
from train.classifier import SETTINGS
from train.command_line import UserError
from train.settings import ADD
from train.settings import By
from train.settings import CHANGE
from train.settings import distinct
from train.settings import Setting
from train.settings import Settings


def test_given_goes_before_recipe_goes_before_default():
    settings = SETTINGS.complete({'recipe': 'cifar100-cnn-MN-6', 'lr': 0.02})
    assert settings['lr'] == 0.02
    assert settings['em_iterations'] == 8
    assert settings['dataset'] == 'cifar100'
    assert settings['seed'] == 0
    settings = SETTINGS.complete(
        {'recipe': 'cifar100-cnn-MN-6', 'em_iterations': 3})
    assert settings['lr'] == 0.01
    assert settings['em_iterations'] == 3


@pytest.mark.parametrize('given', [
    {'epoch': 3}, {'widths': [4, 4, 4, 8]}, {'batch_size': 16},
    {'dataset': 'digits'}, {'train_size': 100}, {'network': 'cnn'},
    {'at': ['conv2']}, {'scale': .1}])
def test_what_may_be_said_beside_a_recipe(given):
    settings = SETTINGS.complete({'recipe': 'cifar10-cnn-MN-2', **given})
    assert {name: settings[name] for name in given} == given


@pytest.mark.parametrize('given, words', [
    ({'network': 'nin'},
     '--network nin contradicts --recipe cifar10-cnn-BN-2, which trains cnn'),
    ({'components': 3}, '--components goes with'),
    ({'depth': 20}, '--depth goes with'),
    ({'momentum': .5}, '--momentum goes with --optimizer rmsprop-graves or '
     'nesterov or momentum, not rmsprop'),
    ({'betas': [.5, .9]}, '--betas goes with --optimizer adam, not rmsprop')])
def test_what_contradicts_a_recipe(given, words):
    with pytest.raises(UserError) as error:
        SETTINGS.complete({'recipe': 'cifar10-cnn-BN-2', **given})
    assert words in str(error.value)


def test_recipe_with_another_normalizer():
    settings = SETTINGS.complete({
        'recipe': 'cifar10-cnn-BN-1', 'normalizer': 'mode', 'at': ['conv2']})
    assert (settings['normalizer'], settings['at']) == ('mode', ['conv2'])
    assert settings['lr'] == 0.01
    settings = SETTINGS.complete({
        'recipe': 'cifar10-cnn-MN-2', 'normalizer': 'mode', 'modes': 4})
    assert (settings['at'], settings['modes']) == (['conv3'], 4)
    options = {'groups': 2}
    settings = multitask.SETTINGS.complete({
        'recipe': 'multitask-small-8-GN', 'normalizer': 'mode_group',
        'normalizer_options': options})
    assert settings['normalizer_options'] == options


@pytest.mark.parametrize('script, recipe, normalizer, words', [
    (classifier, 'cifar10-cnn-MN-2', 'batch', '--at conv3'),
    (classifier, 'cifar10-nin-MN', 'batch', '--modes 2'),
    (multitask, 'multitask-small-8-GN', 'mode',
     '--normalizer-options groups=2'),
    (multitask, 'multitask-small-8-GN', 'batch',
     '--normalizer-options groups=2'),
    (gan, 'cifar10-dcgan-MN', 'batch', '--at bn1 bn2')])
def test_normalizer_with_which_a_recipe_would_do_nothing(
        script, recipe, normalizer, words):
    with pytest.raises(UserError) as error:
        script.SETTINGS.complete(
            {'recipe': recipe, 'normalizer': normalizer})
    assert str(error.value).startswith(
        f'--normalizer {normalizer} contradicts --recipe {recipe}, which '
        f'says {words}: ')


@pytest.mark.parametrize('given, other', [
    ({'iterations': 5}, 'epoch'), ({'epoch': 5}, 'iterations'),
    ({'decay_at': [3]}, 'decay_every'), ({'decay_every': 3}, 'decay_at')])
def test_alternatives_replace_each_other(given, other):
    settings = SETTINGS.complete(dict(given, recipe='cifar10-cnn-BN-1'))
    (key, value), = given.items()
    assert settings[key] == value
    assert settings[other] is None


@pytest.mark.parametrize('given, named', [
    ({'components': 2}, '--components'),
    ({'em_iterations': 2}, '--em-iterations'),
    ({'normalizer': 'none', 'components': 2}, '--components'),
    ({'at': ['conv1']}, '--at')])
def test_setting_that_would_do_nothing(given, named):
    with pytest.raises(UserError, match=named):
        SETTINGS.complete(given)


@pytest.mark.parametrize('given', [
    {'epoch': 30}, {'iterations': 30}, {'device': '@cupy:0'},
    {'log_every': 3}, {'test_every': 3}, {'snapshot_every': 3}])
def test_resume_lengthens_and_reports_otherwise(given):
    saved = SETTINGS.complete({'seed': 4, 'epoch': 20})
    settings = SETTINGS.resume(saved, given)
    (key, value), = given.items()
    assert settings[key] == value
    for other in saved:
        if other not in (key, 'epoch', 'iterations'):
            assert settings[other] == saved[other]
    assert (settings['epoch'] is None) != (settings['iterations'] is None)


@pytest.mark.parametrize('given, named', [
    ({'lr': 0.5}, '--lr 0.5'), ({'seed': 5}, '--seed 5'),
    ({'batch_size': 7}, '--batch-size 7'), ({'at': ['conv1']}, '--at conv1'),
    ({'recipe': 'cifar10-cnn-MN-1'}, 'resumed run keeps')])
def test_resume_refuses_what_makes_another_run(given, named):
    saved = SETTINGS.complete({'normalizer': 'mixture', 'at': ['conv3']})
    with pytest.raises(UserError, match=named):
        SETTINGS.resume(saved, given)


def test_resume_with_the_recipe_of_the_run():
    saved = SETTINGS.complete(
        {'recipe': 'cifar10-cnn-MN-1', 'iterations': 300})
    settings = SETTINGS.resume(saved, {'recipe': 'cifar10-cnn-MN-1'})
    assert settings == saved


def test_recipe_that_a_user_overrode_is_still_that_of_the_run():
    saved = SETTINGS.complete({'recipe': 'cifar10-cnn-MN-1', 'lr': .02})
    assert SETTINGS.resume(saved, {'recipe': 'cifar10-cnn-MN-1'}) == saved


def _check_use(settings, given):
    if given.get('size') == 13:
        raise UserError('13 is no size')


_SETTINGS = Settings(
    'script.py', 'A script: 100%.', 'thing', {'r': {'kind': 'b', 'step': 5}},
    _check_use, {'one': [
        Setting('kind', 'a', 'what it is', choices=lambda: ['a', 'b']),
        Setting('recipe', None, 'what for', choices={'r': {}}),
        Setting('size', By('kind', {'a': 1, 'b': 2}), 'how much', type=int),
        Setting('tone', 'low', 'how loud', choices=['low', 'high', 'none']),
        Setting('form', By('kind', {'b': By('tone', {'low': 3, 'high': 4})}),
                'how', type=int),
        Setting('names', ['x'], 'who', ADD, check=distinct, nargs='+')],
        'two': [
        (Setting('step', By('kind', {'a': 3, 'b': 4}), 'how far', CHANGE,
                 type=int),
         Setting('leap', None, 'how far at once (default: a step)', CHANGE,
                 before=[None], type=int))]})


@pytest.mark.parametrize('given, expected', [
    ({}, {'kind': 'a', 'size': 1, 'step': 3, 'leap': None, 'form': None}),
    ({'kind': 'b'}, {'size': 2, 'step': 4, 'leap': None}),
    ({'kind': 'b', 'tone': 'high'}, {'form': 4}),
    ({'kind': 'b', 'tone': 'none'}, {'form': None}),
    ({'recipe': 'r'}, {'form': 3}), ({'form': 9}, {'form': 9}),
    ({'recipe': 'r'}, {'kind': 'b', 'size': 2, 'step': 5, 'leap': None}),
    ({'recipe': 'r', 'kind': 'a'}, {'kind': 'a', 'size': 1, 'step': 5}),
    ({'recipe': 'r', 'leap': 9, 'size': 7},
     {'kind': 'b', 'size': 7, 'step': None, 'leap': 9})])
def test_complete(given, expected):
    settings = _SETTINGS.complete(given)
    assert settings.keys() == {
        'kind', 'recipe', 'size', 'tone', 'form', 'names', 'step', 'leap'}
    assert {key: settings[key] for key in expected} == expected


def test_use_is_checked():
    with pytest.raises(UserError, match='13 is no size'):
        _SETTINGS.complete({'size': 13})


def test_parse():
    args, given = _SETTINGS.parse(
        '--kind b --leap 2 --names x y --out here --resume'.split())
    assert vars(args) == {
        'list_recipes': False, 'out': 'here', 'resume': True,
        'overwrite': False, 'progress': True}
    assert given == {'kind': 'b', 'leap': 2, 'names': ['x', 'y']}
    assert _SETTINGS.parse([])[1] == {}


@pytest.mark.parametrize('arguments, words', [
    ('--kind c', "invalid choice: 'c'"), ('--size x', "invalid int value"),
    ('--step 1 --leap 2', 'not allowed with'),
    ('--resume --overwrite', 'not allowed with'), ('--far', 'unrecognized')])
def test_parse_refuses(arguments, words, capsys):
    with pytest.raises(UserError) as error:
        _SETTINGS.parse(arguments.split())
    assert words in str(error.value) and '\n' not in str(error.value)
    # Who parses says whose mistake it is.
    assert capsys.readouterr() == ('', '')


def test_list_with_one_twice():
    with pytest.raises(UserError, match='^--names names x twice$'):
        _SETTINGS.parse(['--names', 'x', 'y', 'x'])


def test_help_tells_the_defaults(capsys):
    with pytest.raises(SystemExit) as stop:
        _SETTINGS.parse(['--help'])
    assert stop.value.code == 0
    text = ' '.join(capsys.readouterr().out.split())
    for words in ('A script: 100%.', 'what it is (default: a)',
                  'how much (default: 1 for a; 2 for b)',
                  'how (default: 3 for low; 4 for high)', 'who (default: x)',
                  'how far at once (default: a step)',
                  'only --names, --step, --leap may change'):
        assert words in text
    assert 'what for (' not in text


@pytest.mark.parametrize('given, expected', [
    ({'names': ['y', 'x']}, {'names': ['x', 'y']}),
    ({'names': ['x']}, {}), ({'step': 8}, {'step': 8}),
    ({'leap': 8}, {'leap': 8, 'step': None}), ({'kind': 'a'}, {})])
def test_resume(given, expected):
    saved = _SETTINGS.complete({})
    before = dict(saved)
    assert _SETTINGS.resume(saved, given) == {**saved, **expected}
    assert saved == before


def test_resume_refuses_another_value():
    with pytest.raises(UserError) as error:
        _SETTINGS.resume(_SETTINGS.complete({}), {'size': 5})
    assert str(error.value) == (
        '--size 5 differs from the 1 that this thing was started with; a '
        'resumed thing keeps its settings')


def test_what_runs_did_before_may_depend_on_another_setting():
    settings = Settings('script.py', '', 'thing', {}, _check_use, {'one': [
        Setting('kind', 'a', 'what', choices=['a', 'b']),
        Setting('size', By('kind', {'b': 2}), 'how much',
                before=[By('kind', {'b': 2})])]})
    for kind in ('a', 'b'):
        assert settings.check_saved({'kind': kind}, 'is wrong') == (
            settings.complete({'kind': kind}))
    with pytest.raises(UserError, match='^is wrong$'):
        settings.check_saved({}, 'is wrong')


def test_choice_that_there_was_once():
    settings = Settings('script.py', '', 'thing', {}, _check_use, {'one': [
        Setting('kind', 'a', 'what', choices=['a', 'b'], former=['c'])]})
    assert settings.check_saved({'kind': 'c'}, 'is wrong') == {'kind': 'c'}
    with pytest.raises(UserError):
        settings.parse(['--kind', 'c'])


def test_saved_settings_are_checked():
    saved = _SETTINGS.complete({})
    assert _SETTINGS.check_saved(saved, 'is wrong') == saved
    other = dict(saved, recipe='r', kind='b')
    assert _SETTINGS.check_saved(other, 'is wrong') == other
    # What was not there yet.
    older = {name: value for name, value in saved.items() if name != 'leap'}
    assert _SETTINGS.check_saved(older, 'is wrong') == saved
    for wrong in (3, None, [], {}, {'kind': 'a'}, dict(saved, more=1),
                  dict(saved, kind='c'), dict(saved, kind=['a', 'c']),
                  dict(saved, recipe={}), dict(saved, recipe='s')):
        with pytest.raises(UserError, match='^is wrong$'):
            _SETTINGS.check_saved(wrong, 'is wrong')
