import pytest

from train.command_line import UserError
from train.settings import complete
from train.settings import resume


def test_given_goes_before_recipe_goes_before_default():
    settings = complete({'recipe': 'cifar100-cnn-MN-6', 'lr': 0.02})
    assert settings['lr'] == 0.02
    assert settings['em_iterations'] == 8
    assert settings['dataset'] == 'cifar100'
    assert settings['seed'] == 0
    settings = complete({'recipe': 'cifar100-cnn-MN-6', 'em_iterations': 3})
    assert settings['lr'] == 0.01
    assert settings['em_iterations'] == 3


def test_recipe_with_another_normalizer():
    settings = complete({'recipe': 'cifar10-cnn-MN-1', 'normalizer': 'batch'})
    assert settings['normalizer'] == 'batch'
    assert settings['lr'] == 0.01


@pytest.mark.parametrize('given, other', [
    ({'iterations': 5}, 'epoch'), ({'epoch': 5}, 'iterations'),
    ({'decay_at': [3]}, 'decay_every'), ({'decay_every': 3}, 'decay_at')])
def test_alternatives_replace_each_other(given, other):
    settings = complete(dict(given, recipe='cifar10-cnn-BN-1'))
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
        complete(given)


@pytest.mark.parametrize('given', [
    {'epoch': 30}, {'iterations': 30}, {'device': '@cupy:0'},
    {'log_every': 3}, {'test_every': 3}, {'snapshot_every': 3}])
def test_resume_lengthens_and_reports_otherwise(given):
    saved = complete({'seed': 4, 'epoch': 20})
    settings = resume(saved, given)
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
    saved = complete({'normalizer': 'mixture', 'at': ['conv3']})
    with pytest.raises(UserError, match=named):
        resume(saved, given)


def test_resume_with_the_recipe_of_the_run():
    saved = complete({'recipe': 'cifar10-cnn-MN-1', 'iterations': 300})
    settings = resume(saved, {'recipe': 'cifar10-cnn-MN-1'})
    assert settings == saved
