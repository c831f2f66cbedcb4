import argparse
import copy

import mixnorm
import chainer.functions as F
import pytest

from models.lenet import LeNet
from train.command_line import ArgumentParser
from train.command_line import UserError
from train.normalizers import check_use
from train.normalizers import layer_normalizers
from train.normalizers import normalizer_settings


LAYERS = LeNet.normalized_layers


def _parse(*arguments):
    parser = ArgumentParser(
        prog='script.py', argument_default=argparse.SUPPRESS)
    for setting in normalizer_settings('conv1 or conv2'):
        setting.add_to(parser)
    return vars(parser.parse_args(arguments))


def _settings(**given):
    defaults = {setting.name: setting.default
                for setting in normalizer_settings('conv1 or conv2')}
    return dict(defaults, **given)


def test_only_what_is_given_is_parsed():
    assert _parse() == {}
    assert _parse('--normalizer', 'mode', '--modes', '4', '--at', 'conv2') == {
        'normalizer': 'mode', 'modes': 4, 'at': ['conv2']}


def test_every_name_is_a_choice():
    for name in mixnorm.normalizer_names():
        assert _parse('--normalizer', name) == {'normalizer': name}


@pytest.mark.parametrize('text, value', [
    ('groups=8', 8), ('eps=1e-3', 1e-3), ('inference=samples', 'samples'),
    ("inference='samples'", 'samples'), ('use_beta=False', False),
    ('seed=None', None), ('a==b', '=b'), ('a=', ''),
    # As they come back from JSON.
    ('axis=("x", 3)', ['x', 3]), ('axis=0,2,3', [0, 2, 3])])
def test_options(text, value):
    options = _parse('--normalizer-options', text)['normalizer_options']
    assert list(options.values()) == [value]
    assert type(options[text.partition('=')[0]]) is type(value)


def test_options_given_in_parts(capsys):
    parts = ['--normalizer-options', 'groups=2', '--normalizer-options']
    assert _parse(*parts, 'eps=.1') == {
        'normalizer_options': {'groups': 2, 'eps': .1}}
    with pytest.raises(SystemExit):
        _parse(*parts, 'groups=4')
    assert 'groups is given twice' in capsys.readouterr().err


def test_literal_beyond_the_parser():
    text = f"{'-' * 20000}1"
    assert _parse('--normalizer-options', f'groups={text}') == {
        'normalizer_options': {'groups': text}}


def test_several_options():
    assert _parse('--normalizer-options', 'groups=2', 'eps=.1') == {
        'normalizer_options': {'groups': 2, 'eps': .1}}


@pytest.mark.parametrize('text, words', [
    ('groups', "must be KEY=VALUE, not 'groups'"),
    ('=3', "must be KEY=VALUE, not '=3'"),
    ('a-b=3', "must be KEY=VALUE, not 'a-b=3'"),
    ('groups={1, 2}', "groups must be a number, a string, True, False, None "
     "or a tuple of them, not '{1, 2}'"),
    ('eps=1j', 'eps must be a number'), ("eps=b'1'", 'eps must be a number'),
    ('size=4', 'the network says what size is')])
def test_bad_option(text, words, capsys):
    with pytest.raises(SystemExit) as stop:
        _parse('--normalizer-options', text)
    assert stop.value.code == 2
    errors = capsys.readouterr().err
    assert words in errors and '--normalizer-options' in errors
    assert errors.count('\n') == 1


@pytest.mark.parametrize('given, words', [
    ({'modes': 2}, '--modes goes with --normalizer mode or mode_group, not '
     'batch'),
    ({'normalizer': 'mixture', 'modes': 2}, 'not mixture'),
    ({'normalizer': 'mode', 'components': 2},
     '--components goes with --normalizer mixture or group_mixture, not '
     'mode'),
    ({'normalizer': 'group', 'em_iterations': 2}, '--em-iterations goes with'),
    ({'normalizer': 'mode', 'normalizer_options': {'n_modes': 4}},
     'n_modes=4: use --modes for it'),
    ({'normalizer': 'mixture', 'normalizer_options': {'n_iter': 4}},
     'n_iter=4: use --em-iterations for it'),
    ({'normalizer': 'group_mixture', 'normalizer_options': {'n_iter': 4}},
     'n_iter=4: use --em-iterations for it'),
    ({'normalizer': 'group_mixture', 'modes': 2}, 'not group_mixture'),
    ({'at': ['conv1']}, '--at says where')])
def test_setting_that_would_do_nothing(given, words):
    with pytest.raises(UserError, match=words):
        check_use(_settings(**given), given, LAYERS)


@pytest.mark.parametrize('given', [
    {}, {'normalizer': 'mode', 'modes': 2, 'at': ['conv1']},
    {'normalizer': 'mode_group', 'modes': 3}, {'normalizer': 'none',
                                               'at': ['conv2']},
    {'normalizer': 'mixture', 'components': 3, 'em_iterations': 4},
    {'normalizer': 'group_mixture', 'components': 3, 'em_iterations': 4}])
def test_settings_that_do_something(given):
    check_use(_settings(**given), given, LAYERS)


@pytest.mark.parametrize('given, expected', [
    ({}, {'conv1': ('batch', {}), 'conv2': ('batch', {})}),
    ({'normalizer': 'mode_group', 'modes': 5, 'at': ['conv2']},
     {'conv2': ('mode_group', {'n_modes': 5})}),
    ({'normalizer': 'mixture', 'components': 4, 'em_iterations': 6},
     {'conv1': ('mixture', {'n_components': 4, 'n_iter': 6, 'seed': 11}),
      'conv2': ('mixture', {'n_components': 4, 'n_iter': 6, 'seed': 12})}),
    ({'normalizer': 'mode', 'at': ['conv*']},
     {'conv1': ('mode', {'n_modes': 2}), 'conv2': ('mode', {'n_modes': 2})}),
    ({'normalizer': 'mixture', 'at': ['conv2'],
      'normalizer_options': {'axis': [0, 2], 'seed': 3}},
     {'conv2': ('mixture', {'n_components': 3, 'n_iter': 2, 'seed': 3,
                            'axis': (0, 2)})}),
    ({'normalizer': 'group_mixture', 'components': 5, 'em_iterations': 4,
      'normalizer_options': {'groups': 2}},
     {'conv1': ('group_mixture', {'n_components': 5, 'n_iter': 4, 'seed': 11,
                                  'groups': 2}),
      'conv2': ('group_mixture', {'n_components': 5, 'n_iter': 4, 'seed': 12,
                                  'groups': 2})}),
    ({'normalizer': 'group', 'normalizer_options': {'groups': 2}},
     {'conv1': ('group', {'groups': 2}), 'conv2': ('group', {'groups': 2})})])
def test_layer_normalizers(given, expected):
    settings = _settings(**given)
    before = copy.deepcopy(settings)
    assert layer_normalizers(settings, LAYERS, [11, 12]) == expected
    assert settings == before


@pytest.mark.parametrize('given, expected', [
    ({'normalizer': 'mixture', 'at': ['conv1:K=5,n_iter=4', 'conv2']},
     {'conv1': ('mixture', {'n_components': 5, 'n_iter': 4, 'seed': 11}),
      'conv2': ('mixture', {'n_components': 3, 'n_iter': 2, 'seed': 12})}),
    ({'normalizer': 'mode', 'at': ['@first:K=4']},
     {'conv1': ('mode', {'n_modes': 4})}),
    ({'normalizer': 'mode_group', 'at': ['@first', 'conv2:K=3,eps=1e-3']},
     {'conv1': ('mode_group', {'n_modes': 2}),
      'conv2': ('mode_group', {'n_modes': 3, 'eps': 1e-3})}),
    # A layer goes before what holds it.
    ({'normalizer': 'mixture', 'at': ['*:K=6', 'conv2:axis=(0,2,3),K=7']},
     {'conv1': ('mixture', {'n_components': 6, 'n_iter': 2, 'seed': 11}),
      'conv2': ('mixture', {'n_components': 7, 'n_iter': 2, 'seed': 12,
                            'axis': (0, 2, 3)})}),
    ({'normalizer': 'mixture', 'at': ['conv1:activation=tanh'],
      'normalizer_options': {'activation': 'relu'}},
     {'conv1': ('mixture', {'n_components': 3, 'n_iter': 2, 'seed': 11,
                            'activation': F.tanh})}),
    ({'normalizer': 'instance', 'at': ['conv1:eps=.5']},
     {'conv1': ('instance', {'eps': .5})})])
def test_options_of_places(given, expected):
    settings = _settings(**given)
    check_use(settings, given, LAYERS)
    assert layer_normalizers(settings, LAYERS, [11, 12]) == expected


@pytest.mark.parametrize('given, words', [
    ({'normalizer': 'mixture', 'at': ['conv1:K=0']},
     '--at conv1:K=0: n_components is 0: it must be'),
    ({'normalizer': 'mode', 'at': ['conv1:K=x']},
     "--at conv1:K=x: n_modes is 'x': it must be"),
    ({'normalizer': 'mixture', 'at': ['conv9:K=2']},
     "--at names 'conv9', which is no place: there are conv1, conv2"),
    ({'normalizer': 'mixture', 'at': ['conv1:groups=2']},
     '--at conv1:groups=2: mixture has no option groups: it has '),
    ({'normalizer': 'mode', 'at': ['conv1:n_modes=2']},
     '--at conv1:n_modes=2: use K in place of n_modes'),
    ({'normalizer': 'group', 'at': ['conv1:K=2']},
     '--at conv1:K=2: K goes with mixture or group_mixture or mode or '
     'mode_group, not group'),
    ({'normalizer': 'mixture', 'at': ['conv1:activation=no_such']},
     '--at conv1:activation=no_such: activation=no_such: it must be'),
    ({'normalizer': 'mixture', 'at': ['conv1:K=2', 'conv[1]:K=3']},
     'says otherwise of conv1 than'),
    ({'normalizer': 'mixture', 'at': ['conv1:K=2', 'conv2:K=3'],
      'components': 5}, '--components 5 does nothing'),
    ({'at': ['conv1:K=3']}, '--at says where another --normalizer')])
def test_options_of_places_that_do_not_fit(given, words):
    with pytest.raises(UserError) as error:
        check_use(_settings(**given), given, LAYERS)
    assert words in str(error.value)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('texts, expected', [
    (['conv2:n_iter=4,K=5', 'conv1'], ['conv1', 'conv2:K=5,n_iter=4']),
    (['conv1:axis=(0,2),K=3', '@first'], ['@first', 'conv1:K=3,axis=(0,2)'])])
def test_places_are_put_in_order(texts, expected):
    setting, = (setting for setting in normalizer_settings('')
                if setting.name == 'at')
    assert setting.checked(texts) == expected


@pytest.mark.parametrize('texts, words', [
    (['conv1:'], "--at conv1:: must be KEY=VALUE, not ''"),
    (['conv1:K'], "--at conv1:K: must be KEY=VALUE, not 'K'"),
    (['conv1:K=2,K=3'], '--at conv1:K=2,K=3: K is given twice'),
    (['conv1:size=3'], 'the network says what size is'),
    (['conv1:K=2', 'conv1:K=3'], '--at names conv1 twice')])
def test_places_that_cannot_be_read(texts, words):
    setting, = (setting for setting in normalizer_settings('')
                if setting.name == 'at')
    with pytest.raises(UserError) as error:
        setting.checked(texts)
    assert words in str(error.value)


def test_activation_inside_is_a_function_by_name():
    settings = _settings(
        normalizer='mixture', normalizer_options={'activation': 'relu'})
    for _, options in layer_normalizers(
            settings, LAYERS, [1, 2]).values():
        assert options['activation'] is F.relu
    for name in ('no_such', '__name__'):
        settings['normalizer_options'] = {'activation': name}
        with pytest.raises(UserError, match=f'activation={name}: it must be'):
            layer_normalizers(settings, LAYERS, [1, 2])


def test_place_that_there_is_not():
    settings = _settings(normalizer='mode', at=['conv1', 'conv3'])
    for call in (lambda: check_use(settings, {}, LAYERS),
                 lambda: layer_normalizers(settings, LAYERS, [1, 2])):
        with pytest.raises(UserError) as error:
            call()
        assert str(error.value) == (
            "--at names 'conv3', which is no place: there are conv1, conv2")
