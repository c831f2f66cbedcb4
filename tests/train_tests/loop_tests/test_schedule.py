import types

import pytest

from train.loop.schedule import n_epochs, scaled, tell


_NOTHING = dict.fromkeys((
    'epoch', 'iterations', 'decay_every', 'decay_at'))


@pytest.mark.parametrize('given, scale, expected', [
    # The mixture normalization paper's, at a tenth of their length.
    ({'epoch': 100, 'decay_every': 2}, .1, {'epoch': 10, 'decay_every': .2}),
    ({'epoch': 150, 'decay_at': [75, 112.5]}, .1,
     {'epoch': 15, 'decay_at': [7.5, 11.25]}),
    ({'iterations': 50000, 'decay_at_iterations': [35000, 42500]}, .01,
     {'iterations': 500, 'decay_at_iterations': [350, 425]}),
    ({'iterations': 3}, .1, {'iterations': 1}),
    ({'epoch': 3, 'decay_at': [1]}, 1, {'epoch': 3, 'decay_at': [1]})])
def test_scaled(given, scale, expected):
    settings = {**_NOTHING, **given, 'scale': scale, 'lr': .1, 'decay': .93}
    before = dict(settings)
    found = scaled(settings)
    assert settings == before
    assert found.keys() == settings.keys()
    for name, value in {**settings, **expected}.items():
        assert found[name] == pytest.approx(value), name


def test_share_of_an_epoch_is_reached_whatever_is_rounded():
    # .1 * 3 is more than .3.
    assert .1 * 3 > .3
    assert n_epochs(types.SimpleNamespace(epoch_detail=.3)) >= .1 * 3
    assert n_epochs(types.SimpleNamespace(epoch_detail=.2999)) < .1 * 3


@pytest.mark.parametrize('given, expected', [
    ({'epoch': 150, 'decay_at': [75, 112.5], 'decay': .1, 'scale': .1},
     'scale 0.1: 15 epochs, learning rate times 0.1 after 7.5 and 11.25 '
     'epochs\n'),
    ({'epoch': 100, 'decay_every': 2, 'decay': .93, 'scale': .25},
     'scale 0.25: 25 epochs, learning rate times 0.93 after each 0.5 '
     'epochs\n'),
    ({'iterations': 40, 'decay_at_iterations': [20], 'decay': .1,
      'scale': .5},
     'scale 0.5: 20 iterations, learning rate times 0.1 after 10 '
     'iterations\n'),
    ({'iterations': 4, 'scale': .5}, 'scale 0.5: 2 iterations\n'),
    ({'iterations': 4, 'scale': 1.}, '')])
def test_tell(given, expected, capsys):
    tell({**_NOTHING, **given})
    assert capsys.readouterr().out == expected
