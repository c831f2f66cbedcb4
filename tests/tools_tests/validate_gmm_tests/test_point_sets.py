import numpy
import pytest

from tools.validate_gmm import point_sets
from train.command_line import UserError


@pytest.mark.parametrize('name', point_sets.SYNTHETIC)
def test_synthetic(name):
    found = point_sets.synthetic(name, 3)
    again = point_sets.synthetic(name, 3)
    numpy.testing.assert_array_equal(found.points, again.points)
    assert (found.points != point_sets.synthetic(name, 4).points).any()
    assert found.points.shape[0] == len(found.groups) == 2000
    assert found.points.dtype == ('f' if name == 'float32' else 'd')


def test_sets_are_what_they_are_said_to_be():
    def moments(name):
        found = point_sets.synthetic(name, 0)
        groups = [found.points[found.groups == g]
                  for g in numpy.unique(found.groups)]
        return (numpy.stack([z.mean(axis=0) for z in groups]),
                numpy.stack([z.std(axis=0) for z in groups]),
                [len(z) / 2000 for z in groups])

    means, deviations, _ = moments('far')
    numpy.testing.assert_allclose(
        means, [[1000, 1000], [1002, 1000], [1000, 1002]], atol=.2)
    numpy.testing.assert_allclose(deviations, 1, atol=.1)
    numpy.testing.assert_allclose(
        moments('weights')[2], [.9, .09, .01], atol=.02)
    numpy.testing.assert_allclose(
        moments('variances')[1], [[.01] * 2, [1] * 2, [10] * 2], rtol=.1)
    means, deviations, _ = moments('singular')
    numpy.testing.assert_allclose(means[:, 2], 1, rtol=1e-6)
    numpy.testing.assert_allclose(deviations[:, 2], 1e-6, rtol=.1)
    assert point_sets.synthetic('dimensions', 0).points.shape[1] == 64


@pytest.mark.parametrize('dtype, fitted', [
    ('e', 'f'), ('f', 'f'), ('d', 'd'), ('i', 'd'), ('B', 'd')])
def test_file(dtype, fitted, tmp_path):
    values = numpy.arange(12).reshape(6, 2).astype(dtype)
    numpy.save(tmp_path / 'a.npy', values)
    found = point_sets.from_file(str(tmp_path / 'a.npy'), 2, 100, 0)
    numpy.testing.assert_array_equal(found.points, values)
    assert found.points.dtype == fitted
    assert found.name == 'a' and found.n_components == 2
    assert found.groups is None


def test_points_of_activations_are_channel_vectors(tmp_path):
    values = numpy.random.RandomState(0).randn(2, 3, 4, 5)
    numpy.save(tmp_path / 'a.npy', values)
    found = point_sets.from_file(str(tmp_path / 'a.npy'), 2, 100, 0)
    expected = [values[n, :, i, j]
                for n in range(2) for i in range(4) for j in range(5)]
    numpy.testing.assert_array_equal(found.points, expected)
    by_layer = point_sets.from_layer(
        '/conv/norm', [values[:1], values[1:]], 2, 100, 0)
    numpy.testing.assert_array_equal(by_layer.points, expected)
    assert by_layer.name == 'conv/norm' and by_layer.axis == 'channel'


def test_some_of_many_points(tmp_path):
    numpy.save(tmp_path / 'a.npy', numpy.arange(200.).reshape(100, 2))
    path = str(tmp_path / 'a.npy')
    found = point_sets.from_file(path, 2, 30, 0)
    assert '30 of 100 points' in found.description
    # Different rows, in their order.
    assert (numpy.diff(found.points[:, 0]) >= 2).all()
    assert (found.points[:, 1] == found.points[:, 0] + 1).all()
    assert len(found.points) == 30
    numpy.testing.assert_array_equal(
        found.points, point_sets.from_file(path, 2, 30, 0).points)
    assert (found.points != point_sets.from_file(path, 2, 30, 1).points).any()


@pytest.mark.parametrize('values, words', [
    (numpy.zeros(4), r'float64 of shape \(4,\)'),
    (numpy.zeros((4, 2), 'D'), 'holds complex128'),
    (numpy.array([['a', 'b']]), 'holds <U1'),
    (numpy.array([[None]]), 'no .npy file of numbers'),
    (numpy.array([[1., numpy.nan]] * 4), 'not finite'),
    (numpy.array([[1e30], [-1e30], [0]], 'f'), 'float32 cannot hold'),
    (numpy.array([[1e200], [-1e200], [0]]), 'float64 cannot hold'),
    (numpy.zeros((0, 2)), 'holds no points'),
    (numpy.zeros((4, 0)), 'holds no points'),
    (numpy.zeros((1, 2)), 'has 1 points'),
    (numpy.zeros((2, 2)), '--components 3: .* has 2 points')])
def test_file_of_something_else(values, words, tmp_path):
    numpy.save(tmp_path / 'a.npy', values)
    with pytest.raises(UserError, match=words) as error:
        point_sets.from_file(str(tmp_path / 'a.npy'), 3, 100, 0)
    assert '\n' not in str(error.value)
    assert 'a.npy' in str(error.value)


@pytest.mark.parametrize('content', [b'', b'text', b'\x93NUMPY\x01'])
def test_file_that_is_no_array(content, tmp_path):
    (tmp_path / 'a.npy').write_bytes(content)
    with pytest.raises(UserError, match='no .npy file of numbers'):
        point_sets.from_file(str(tmp_path / 'a.npy'), 3, 100, 0)


def test_file_of_several_arrays(tmp_path):
    numpy.savez(tmp_path / 'a.npz', a=numpy.zeros((4, 2)))
    with pytest.raises(UserError, match='several arrays'):
        point_sets.from_file(str(tmp_path / 'a.npz'), 3, 100, 0)


def test_layer_that_no_image_reaches():
    with pytest.raises(UserError, match='no image reaches /norm'):
        point_sets.from_layer('/norm', [], 3, 100, 0)
