"""The distances against closed forms and their definitions."""

import numpy
import pytest

from train import distances


def _random_covariance(random_state, size, rank=None):
    root = random_state.normal(size=(size, rank or size))
    return root @ root.T


def test_mean_and_covariance():
    mean, covariance = distances.mean_and_covariance(
        numpy.array([[0, 1], [2, 1], [4, 4]], 'f'))
    numpy.testing.assert_allclose(mean, [2, 2])
    numpy.testing.assert_allclose(covariance, [[4, 3], [3, 3]])
    assert mean.dtype == covariance.dtype == numpy.float64


def test_frechet_distance_in_one_dimension():
    """It is the squared differences of means and of deviations."""
    assert distances.frechet_distance(
        [3.], [[4.]], [1.], [[25.]]) == pytest.approx(2 ** 2 + (2 - 5) ** 2)


def test_frechet_distance_with_covariances_that_commute():
    """tr(A + B - 2 (AB)^(1/2)) = |A^(1/2) - B^(1/2)|^2 of the eigenvalues."""
    random_state = numpy.random.RandomState(0)
    basis, _ = numpy.linalg.qr(random_state.normal(size=(6, 6)))
    a, b = random_state.uniform(0, 4, (2, 6))
    mean = random_state.normal(size=6)
    found = distances.frechet_distance(
        mean, (basis * a) @ basis.T, mean + 2, (basis * b) @ basis.T)
    assert found == pytest.approx(
        24 + ((numpy.sqrt(a) - numpy.sqrt(b)) ** 2).sum())


def test_frechet_distance_agrees_with_the_general_matrix_root():
    linalg = pytest.importorskip('scipy.linalg')
    random_state = numpy.random.RandomState(1)
    means = random_state.normal(size=(2, 8))
    a, b = (_random_covariance(random_state, 8) for _ in range(2))
    expected = ((means[0] - means[1]) ** 2).sum() + numpy.trace(
        a + b - 2 * linalg.sqrtm(a @ b).real)
    found = distances.frechet_distance(means[0], a, means[1], b)
    assert found == pytest.approx(expected, rel=1e-9)
    # It is symmetric, though it is computed otherwise.
    assert distances.frechet_distance(
        means[1], b, means[0], a) == pytest.approx(expected, rel=1e-9)


def test_frechet_distance_with_singular_covariances():
    # In orthogonal subspaces nothing is shared.
    a, b = numpy.diag([4., 1., 0., 0.]), numpy.diag([0., 0., 2., 0.])
    zero = numpy.zeros(4)
    assert distances.frechet_distance(zero, a, zero, b) == pytest.approx(7)
    # Of rank 3 in 10 dimensions, from itself: 0.
    a = _random_covariance(numpy.random.RandomState(2), 10, 3)
    assert distances.frechet_distance(
        numpy.zeros(10), a, numpy.zeros(10), a) == pytest.approx(0, abs=1e-5)
    # No shared root: AB is nilpotent, and the trace of its root is 0.
    a, b = numpy.array([[1., 0], [0, 0]]), numpy.array([[0., 0], [0, 1.]])
    assert distances.frechet_distance(
        zero[:2], a, zero[:2], b) == pytest.approx(2)


def test_frechet_distance_is_never_negative():
    random_state = numpy.random.RandomState(3)
    for _ in range(20):
        a = _random_covariance(random_state, 5)
        found = distances.frechet_distance(numpy.zeros(5), a, numpy.zeros(5),
                                           a)
        assert 0 <= found < 1e-6


def _kernel(x, y):
    return (sum(a * b for a, b in zip(x, y)) / len(x) + 1) ** 3


def test_kernel_distance_is_its_definition(monkeypatch):
    monkeypatch.setattr(distances, '_BLOCK', 3)
    random_state = numpy.random.RandomState(0)
    x = random_state.normal(size=(7, 4))
    y = random_state.normal(1, 2, (5, 4))
    expected = (
        sum(_kernel(a, b) for i, a in enumerate(x) for j, b in enumerate(x)
            if i != j) / (7 * 6)
        + sum(_kernel(a, b) for i, a in enumerate(y) for j, b in enumerate(y)
              if i != j) / (5 * 4)
        - 2 * sum(_kernel(a, b) for a in x for b in y) / (7 * 5))
    assert distances.kernel_distance(x, y) == pytest.approx(expected, 1e-12)


def test_kernel_distance_is_unbiased():
    """The mean over draws is 0 where the distributions are the same."""
    random_state = numpy.random.RandomState(0)
    found = numpy.array([
        distances.kernel_distance(*random_state.normal(size=(2, 8, 3)))
        for _ in range(1500)])
    error = found.std() / numpy.sqrt(len(found))
    assert abs(found.mean()) < 3 * error
    # An estimate that counts i = j would be more than this off.
    assert 2 * ((1 + 1) ** 3 - 1) / 8 > 10 * error
    assert found.min() < 0


def test_kernel_distance_of_different_distributions():
    random_state = numpy.random.RandomState(1)
    x = random_state.normal(size=(300, 3))
    near, far = (distances.kernel_distance(x, random_state.normal(
        shift, 1, (300, 3))) for shift in (.2, 2))
    assert 0 < near < far


def _brute_radii(x, k):
    return [sorted(numpy.linalg.norm(a - b) for j, b in enumerate(x)
                   if j != i)[k - 1] for i, a in enumerate(x)]


@pytest.mark.parametrize('k', [1, 5])
@pytest.mark.parametrize('block', [4, 1000])
def test_density_and_coverage_are_their_definitions(k, block, monkeypatch):
    monkeypatch.setattr(distances, '_BLOCK', block)
    random_state = numpy.random.RandomState(k)
    real = random_state.normal(size=(23, 3))
    generated = random_state.normal(.7, .8, (17, 3))
    radii = _brute_radii(real, k)
    numpy.testing.assert_allclose(
        distances.neighbour_distances(real, k), numpy.square(radii),
        rtol=1e-10)
    inside = [[numpy.linalg.norm(y - x) < radius
               for x, radius in zip(real, radii)] for y in generated]
    density = sum(map(sum, inside)) / (k * 17)
    coverage = sum(any(row[i] for row in inside) for i in range(23)) / 23
    assert 0 < coverage < 1
    for known in (None, numpy.square(radii)):
        assert distances.density_and_coverage(
            real, generated, k, known) == pytest.approx((density, coverage))


def test_density_and_coverage_of_the_same_and_of_other_samples():
    random_state = numpy.random.RandomState(0)
    real, other = random_state.normal(size=(2, 400, 2))
    density, coverage = distances.density_and_coverage(real, other)
    # Expected for equal distributions: 1, and 1 - 2 ** -k, nearly.
    assert density == pytest.approx(1, abs=.1)
    assert coverage == pytest.approx(1 - 2 ** -5, abs=.05)
    assert distances.density_and_coverage(real, other + 100) == (0, 0)
    # All in the densest place: dense, but covering little.
    denser, less = distances.density_and_coverage(real, other * .1)
    assert denser > density + .05 and less < .4


@pytest.mark.parametrize('real, generated, words', [
    (numpy.zeros((5, 2)), numpy.zeros((9, 2)), r'real has the shape \(5, 2\)'),
    (numpy.zeros((9, 2)), numpy.zeros(9), r'generated has the shape \(9,\)'),
    (numpy.zeros((9, 2)), numpy.zeros((9, 3)), 'generated has 3 columns'),
    (numpy.zeros((9, 2)), numpy.full((9, 2), numpy.nan),
     'generated must be finite')])
def test_what_is_refused(real, generated, words):
    with pytest.raises(ValueError, match=words):
        distances.density_and_coverage(real, generated)


def test_too_few_for_a_covariance():
    with pytest.raises(ValueError, match='with n of at least 2'):
        distances.mean_and_covariance(numpy.zeros((1, 3)))
    with pytest.raises(ValueError, match='generated .* at least 2'):
        distances.kernel_distance(numpy.zeros((2, 3)), numpy.zeros((1, 3)))
