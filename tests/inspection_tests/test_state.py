import chainer
import numpy
import pytest

from mixnorm.inspection import read_state
from mixnorm.links import (
    GroupMixtureNormalization, MixtureNormalization, ModeNormalization)
from inspection_tests.layers import make_mixture, make_modes, make_points


def test_mixture_is_the_newest_entry():
    link = make_mixture(make_points())
    state = read_state(link)
    for ours, theirs in zip(state[1:], link.queue):
        numpy.testing.assert_array_equal(ours, theirs[0])
    assert state.n_effective == link.n_effective


def test_number_of_components_after_loading(tmp_path):
    x = make_points()
    link = make_mixture(x, n_components=5, min_weight=.2)
    assert link.n_effective < 5
    chainer.serializers.save_npz(str(tmp_path / 'link'), link)
    loaded = MixtureNormalization(5, 5)
    chainer.serializers.load_npz(str(tmp_path / 'link'), loaded)
    assert loaded.n_effective is None
    assert read_state(loaded).n_effective == link.n_effective


def test_modes_after_loading_have_no_gates(tmp_path):
    link = make_modes(make_points())
    state = read_state(link)
    numpy.testing.assert_allclose(state.weights, link.gates.mean(axis=0),
                                  rtol=1e-6)
    chainer.serializers.save_npz(str(tmp_path / 'link'), link)
    loaded = ModeNormalization(5, 3)
    chainer.serializers.load_npz(str(tmp_path / 'link'), loaded)
    again = read_state(loaded)
    assert again.weights.shape == (0,) and again.n_effective == 3
    numpy.testing.assert_array_equal(again.means, state.means)


@pytest.mark.parametrize('link', [
    MixtureNormalization(5), MixtureNormalization(), ModeNormalization(5),
    ModeNormalization(), GroupMixtureNormalization(1, 5)])
def test_link_that_saw_nothing(link):
    assert read_state(link) is None


def test_other_link():
    with pytest.raises(ValueError, match='link is .*BatchNormalization'):
        read_state(chainer.links.BatchNormalization(3))
