import argparse
import copy

import mixnorm
import chainer
import chainer.functions as F
import chainer.links as L
import numpy
import pytest

from models.cifar_cnn import CifarCNN
from models.lenet import LeNet
from train import normalizers
from train.command_line import ArgumentParser
from train.command_line import UserError
from train.normalizers import check_use
from train.normalizers import layer_normalizers
from train.normalizers import make_model


LAYERS = LeNet.normalized_layers


def _parse(*arguments):
    parser = ArgumentParser(
        prog='script.py', argument_default=argparse.SUPPRESS)
    normalizers.add_normalizer_arguments(
        parser.add_argument_group('group'), LAYERS)
    return vars(parser.parse_args(arguments))


def _settings(**given):
    return dict(normalizers.DEFAULTS, **given)


def test_only_what_is_given_is_parsed():
    assert _parse() == {}
    assert _parse('--normalizer', 'mode', '--modes', '4', '--at', 'conv2') == {
        'normalizer': 'mode', 'modes': 4, 'at': ['conv2']}


def test_every_name_is_a_choice():
    for name in mixnorm.normalizer_names():
        assert _parse('--normalizer', name) == {'normalizer': name}


@pytest.mark.parametrize('text, value', [
    ('groups=8', 8), ('eps=1e-3', 1e-3), ('over=instance', 'instance'),
    ("over='layer'", 'layer'), ('use_beta=False', False),
    ('seed=None', None), ('a==b', '=b'), ('a=', ''),
    # As they come back from JSON.
    ('over=("group", 3)', ['group', 3]), ('axis=0,2,3', [0, 2, 3])])
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
     '--components goes with --normalizer mixture, not mode'),
    ({'normalizer': 'group', 'em_iterations': 2}, '--em-iterations goes with'),
    ({'normalizer': 'mode', 'normalizer_options': {'n_modes': 4}},
     'n_modes=4: use --modes for it'),
    ({'normalizer': 'mixture', 'normalizer_options': {'n_iter': 4}},
     'n_iter=4: use --em-iterations for it'),
    ({'at': ['conv1']}, '--at says where')])
def test_setting_that_would_do_nothing(given, words):
    with pytest.raises(UserError, match=words):
        check_use(_settings(**given), given)


@pytest.mark.parametrize('given', [
    {}, {'normalizer': 'mode', 'modes': 2, 'at': ['conv1']},
    {'normalizer': 'mode_group', 'modes': 3}, {'normalizer': 'none',
                                               'at': ['conv2']},
    {'normalizer': 'mixture', 'components': 3, 'em_iterations': 4}])
def test_settings_that_do_something(given):
    check_use(_settings(**given), given)


@pytest.mark.parametrize('given, expected', [
    ({}, {'conv1': ('batch', {}), 'conv2': ('batch', {})}),
    ({'normalizer': 'mode_group', 'modes': 5, 'at': ['conv2']},
     {'conv2': ('mode_group', {'n_modes': 5})}),
    ({'normalizer': 'mixture', 'components': 4, 'em_iterations': 6},
     {'conv1': ('mixture', {'n_components': 4, 'n_iter': 6, 'seed': 11}),
      'conv2': ('mixture', {'n_components': 4, 'n_iter': 6, 'seed': 12})}),
    ({'normalizer': 'mixture', 'at': ['conv2'],
      'normalizer_options': {'over': ['group', 2], 'seed': 3}},
     {'conv2': ('mixture', {'n_components': 3, 'n_iter': 2, 'seed': 3,
                            'over': ('group', 2)})}),
    ({'normalizer': 'group', 'normalizer_options': {'groups': 2}},
     {'conv1': ('group', {'groups': 2}), 'conv2': ('group', {'groups': 2})})])
def test_layer_normalizers(given, expected):
    settings = _settings(**given)
    before = copy.deepcopy(settings)
    assert layer_normalizers(settings, LAYERS, [11, 12]) == expected
    assert settings == before


def _make(settings, model_class=LeNet, widths=(4, 4, 8, 8)):
    layers = model_class.normalized_layers
    return make_model(
        (3, 32, 32), model_class, 4, 3, widths,
        layer_normalizers(settings, layers, list(range(len(layers)))))


def _gradient_step(model):
    """Makes an update; returns the loss before it."""
    # Classes that differ in their means, so that there is much to learn.
    random = numpy.random.RandomState(0)
    labels = (numpy.arange(16) % 4).astype('i')
    images = random.normal(size=(16, 3, 32, 32)) + (
        labels % 2)[:, None, None, None] + (
        (labels // 2)[:, None] * [3, 0, -3])[:, :, None, None]
    images = images.astype('f')
    loss = F.softmax_cross_entropy(model(images), labels)
    optimizer = chainer.optimizers.SGD(.005).setup(model)
    model.cleargrads()
    loss.backward()
    optimizer.update()
    return float(loss.array)


@pytest.mark.parametrize('model_class', [LeNet, CifarCNN])
@pytest.mark.parametrize('name', mixnorm.normalizer_names())
def test_every_normalizer_trains(name, model_class):
    seed = 0
    numpy.random.seed(seed)
    model = _make(_settings(normalizer=name), model_class)
    before = {path: param.array.copy()
              for path, param in model.namedparams()}
    losses = [_gradient_step(model) for _ in range(6)]
    assert numpy.isfinite(losses).all(), f'seed {seed}'
    assert losses[-1] < losses[0], f'seed {seed}'
    for path, param in model.namedparams():
        if path.endswith('/W'):
            assert (param.array != before[path]).any(), path
        assert numpy.isfinite(param.array).all(), path
    with chainer.using_config('train', False):
        scores = model(numpy.zeros((2, 3, 32, 32), 'f')).array
    assert scores.shape == (2, 4) and numpy.isfinite(scores).all()


@pytest.mark.parametrize('model_class', [LeNet, CifarCNN])
@pytest.mark.parametrize('name', ['batch', 'mixture', 'mode'])
def test_model_is_as_if_nothing_had_passed(name, model_class):
    settings = _settings(normalizer=name)
    layers = model_class.normalized_layers
    states = []
    for make in (lambda: _make(settings, model_class),
                 lambda: model_class(4, 3, (4, 4, 8, 8), layer_normalizers(
                     settings, layers, list(range(len(layers)))))):
        numpy.random.seed(5)
        serializer = chainer.serializers.DictionarySerializer()
        serializer.save(make())
        states.append(dict(serializer.target, random=numpy.random.rand(3)))
    found, expected = states
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        numpy.testing.assert_array_equal(found[key], value, err_msg=key)


@pytest.mark.parametrize('given, words', [
    ({'normalizer_options': {'foo': 1}}, "'batch' has no option 'foo'"),
    ({'normalizer': 'group', 'normalizer_options': {'groups': 3}},
     'groups is 3: it must divide the number of channels, which is 4'),
    ({'normalizer': 'mixture', 'normalizer_options': {'over': ['group', 3]}},
     'must divide'),
    ({'normalizer': 'none', 'normalizer_options': {'eps': 1}}, "'eps'"),
    ({'normalizer': 'mode', 'normalizer_options': {'n_modes': 0}},
     'n_modes is 0'),
    ({'normalizer_options': {'decay': 'x'}}, "decay is 'x'"),
    # Chainer's links see this only in a mini-batch.
    ({'normalizer_options': {'axis': 1}}, '--normalizer-options do not'),
    ({'normalizer_options': {'size': 1}}, "'size'"),
    ({'normalizer_options': {'dtype': 'float99'}}, 'float99')])
def test_bad_options_are_the_users_error(given, words):
    with pytest.raises(UserError, match=words) as error:
        _make(_settings(**given))
    assert '\n' not in str(error.value)


def test_options_reach_the_link():
    model = _make(_settings(
        normalizer='mixture', components=5, at=['conv2'],
        normalizer_options={'over': ['group', 2], 'queue_size': 3}))
    assert type(model.conv1.norm) is L.BatchNormalization
    assert model.conv2.norm.over == ('group', 2)
    assert model.conv2.norm.queue_size == 3
    assert model.conv2.norm.n_components == 5
