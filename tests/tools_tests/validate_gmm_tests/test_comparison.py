import chainer
import numpy
import pytest
from scipy import stats
from scipy.special import logsumexp
from sklearn.mixture import GaussianMixture

from mixnorm.mixture import Parameters
from tools.validate_gmm import comparison as compared
from tools.validate_gmm import point_sets
from tools.validate_gmm.fits import Fit, fit_theirs, Options


OPTIONS = Options(max_iter=20, tol=1e-3, reg_covar=1e-6, seed=0)


def _compare(point_set):
    return compared.compare(
        point_set, OPTIONS, chainer.get_device('@numpy'), 1, 100.,
        lambda text: None)


def _mixture(seed, n_components=6, n_dims=3):
    random = numpy.random.RandomState(seed)
    weights = random.uniform(.5, 1, n_components)
    return Parameters(
        weights / weights.sum(), random.randn(n_components, n_dims),
        random.uniform(.5, 2, (n_components, n_dims)))


@pytest.mark.parametrize('seed', range(5))
def test_matching_restores_a_permutation(seed):
    mixture = _mixture(seed)
    order = numpy.random.RandomState(seed).permutation(6)
    shuffled = Parameters(*(z[order] for z in mixture))
    numpy.testing.assert_array_equal(
        order[compared.match(shuffled, mixture)], numpy.arange(6))
    assert compared.compare_parameters(shuffled, mixture) == (0, 0, 0)


def test_matching_tells_variances_apart():
    mixture = _mixture(0)
    mixture.means[...] = 1
    order = numpy.array([3, 1, 5, 0, 2, 4])
    shuffled = Parameters(*(z[order] for z in mixture))
    numpy.testing.assert_array_equal(
        order[compared.match(shuffled, mixture)], numpy.arange(6))


def test_differences_are_in_their_units():
    reference = Parameters(
        numpy.array([.25, .75]), numpy.array([[0., 0.], [10., 0.]]),
        numpy.array([[4., 1.], [1., 100.]]))
    other = Parameters(
        numpy.array([.7, .3]), numpy.array([[10., 5.], [1., .25]]),
        numpy.array([[1., 110.], [3., 1.]]))
    weights, means, variances = compared.compare_parameters(other, reference)
    assert weights == pytest.approx(.05)
    # 1 of a deviation of 2, and 5 of one of 10.
    assert means == pytest.approx(.5)
    # 3 for 4, and 110 for 100.
    assert variances == pytest.approx(.25)


def test_distance_of_the_origin():
    assert compared.distance_of_origin(Parameters(
        numpy.array([.5, .5]), numpy.array([[3., 8.], [1., 1.]]),
        numpy.array([[1., 4.], [1., 1.]]))) == 5


def test_tolerances():
    direct, expanded = compared.tolerances(numpy.dtype('d'), 9., 50.)
    assert direct == pytest.approx(50 * 2 ** -52 * 10)
    assert expanded == pytest.approx(50 * 2 ** -52 * 100)
    direct, expanded = compared.tolerances(numpy.dtype('f'), 999., 50.)
    assert direct == pytest.approx(50 * 2 ** -23 * 1000)
    assert expanded is None


@pytest.mark.parametrize('dtype', 'fd')
@pytest.mark.parametrize('n_components', [1, 3, 11, 55])
def test_common_start(n_components, dtype):
    X = numpy.random.RandomState(0).randn(60, 2).astype(dtype)
    start = compared.common_start(X, n_components, OPTIONS)
    assert start.weights.sum() == 1
    numpy.testing.assert_allclose(start.weights, 1 / n_components, 1e-4)
    assert all((X == mean).all(axis=1).any() for mean in start.means)
    numpy.testing.assert_allclose(
        start.variances, numpy.tile(X.var(axis=0), (n_components, 1)), 1e-4)
    assert {z.dtype for z in start} == {numpy.dtype(dtype)}
    # scikit-learn takes it.
    fit_theirs(X, n_components, OPTIONS, start)


@pytest.mark.parametrize('name', ['overlapping', 'surplus', 'float32'])
def test_fits_from_one_start_agree(name):
    point_set = point_sets.synthetic(name, 0)
    found = _compare(point_set)
    assert found.verdict == (True, 'agree', '')
    n_iter = {fit.iterations for fit in found.same_start.values()}
    assert len(n_iter) == 1
    for pair in found.pairs:
        assert 0 < pair.difference.greatest < pair.tolerance
        assert pair.difference.rand_index > .999
    assert all(fit.seconds > 0 and fit.peak_bytes > 0
               for fits in (found.same_start, found.own_seeding)
               for name, fit in fits.items() if name != compared.EXACT)


def test_only_extended_precision_stops_by_itself(monkeypatch):
    told = []
    for name in ('fit_ours', 'fit_theirs'):
        def fit(X, fit=getattr(compared, name), **kwargs):
            told.append((kwargs['start'] is None, kwargs['options']))
            return fit(X, **kwargs)
        monkeypatch.setattr(compared, name, fit)
    found = _compare(point_sets.synthetic('overlapping', 0))
    n_iter = found.same_start[compared.EXACT].iterations
    assert 1 < n_iter < OPTIONS.max_iter
    assert set(told) == {
        (True, OPTIONS),
        (False, OPTIONS._replace(tol=0., max_iter=n_iter))}


def test_figures_are_scikit_learns():
    point_set = point_sets.synthetic('overlapping', 0)
    X = point_set.points
    found = _compare(point_set)
    theirs = GaussianMixture(
        3, covariance_type='diag', max_iter=20, random_state=0).fit(X)
    own = found.own_seeding[compared.THEIRS]
    assert own.log_likelihood == theirs.score(X)
    assert own.bic == theirs.bic(X)
    assert own.iterations == theirs.n_iter_
    # scikit-learn's mixture with the others' parameters.
    for fit in found.same_start.values():
        theirs.weights_, theirs.means_, theirs.covariances_ = (
            z.astype('d') for z in fit.parameters)
        theirs.precisions_cholesky_ = theirs.covariances_ ** -.5
        assert fit.log_likelihood == pytest.approx(theirs.score(X), rel=1e-12)
        assert fit.bic == pytest.approx(theirs.bic(X), rel=1e-12)
        numpy.testing.assert_array_equal(fit.labels, theirs.predict(X))


def test_likelihood_of_extended_precision():
    point_set = point_sets.synthetic('weights', 0)
    fit = _compare(point_set).same_start[compared.EXACT]
    weights, means, variances = (z.astype('d') for z in fit.parameters)
    joint = numpy.log(weights) + stats.norm.logpdf(
        point_set.points[:, None], means, variances ** .5).sum(axis=2)
    assert fit.log_likelihood == pytest.approx(
        logsumexp(joint, axis=1).mean(), rel=1e-12)


def test_far_from_the_origin_extended_precision_decides():
    found = _compare(point_sets.synthetic('far', 0))
    _, ours, theirs = found.pairs
    direct, expanded = compared.tolerances(
        numpy.dtype('d'), found.distance, 100 * found.same_start[
            compared.EXACT].iterations)
    assert [pair.tolerance for pair in found.pairs] == [
        direct + expanded, direct, expanded]
    assert 1000 < found.distance < 1000 * 2 ** .5 * 1.2
    assert ours.difference.greatest < 1e-12
    assert 1e-11 < theirs.difference.greatest < theirs.tolerance
    assert found.verdict.agree
    assert found.verdict.short == 'agree, scikit-learn lost digits'


def test_where_the_formula_holds_no_digits():
    X = (1e4 + numpy.random.RandomState(0).randn(100, 2)).astype('f')
    found = _compare(point_sets.PointSet('a', 'far', X, 2))
    assert found.verdict.agree
    assert found.verdict.short == 'mixnorm is right'
    assert found.pairs[2].tolerance is None
    assert found.pairs[1].difference.greatest <= found.pairs[1].tolerance


def _judge(differences, tolerances, errors=(None, None)):
    """The verdict on greatest differences, of OURS-THEIRS, OURS, THEIRS."""
    fits = dict(zip((compared.OURS, compared.THEIRS), map(Fit, errors)))
    fits[compared.EXACT] = Fit()
    return compared.judge(fits, [
        compared.Pair(names, None if z is None else compared.Difference(
            0., 0., z, 0., 1.), tolerance)
        for names, z, tolerance in zip((
            (compared.OURS, compared.THEIRS), (compared.OURS, compared.EXACT),
            (compared.THEIRS, compared.EXACT)), differences, tolerances)])


@pytest.mark.parametrize('differences, agree, words', [
    ((1e-9, 1e-9, 1e-9), True, ''),
    ((1e-5, 1e-9, 1e-5), True, 'mixnorm is off by 1e-09'),
    ((1e-3, 1e-9, 1e-3), False, 'scikit-learn beyond the tolerance'),
    ((1e-3, 1e-3, 1e-9), False, 'mixnorm beyond the tolerance'),
    # Both off alike.
    ((1e-9, 1e-3, 1e-3), False, 'mixnorm and scikit-learn beyond'),
    # Within scikit-learn's tolerance, but not its own.
    ((1e-5, 1e-5, 1e-9), False, 'mixnorm beyond the tolerance'),
    ((numpy.nan, numpy.nan, 1e-9), False, 'mixnorm beyond the tolerance')])
def test_verdict(differences, agree, words):
    verdict = _judge(differences, (1e-4, 1e-8, 1e-4))
    assert verdict.agree is agree
    assert verdict.reason.startswith(words) or words in verdict.reason
    assert (verdict.short == 'DISAGREE') is not agree


def test_verdict_on_fits_that_failed():
    verdict = _judge((None, None, 1e-9), (1e-4, 1e-8, 1e-4), ('empty', None))
    assert not verdict.agree
    assert 'mixnorm beyond' in verdict.reason
    assert 'mixnorm found no mixture: empty' in verdict.reason
    verdict = _judge((None, 1e-9, None), (1e-4, 1e-8, 1e-4), (None, 'empty'))
    assert not verdict.agree
    assert 'scikit-learn found no mixture: empty' in verdict.reason
    verdict = _judge((None, 1e-9, None), (None, 1e-8, None), (None, 'empty'))
    assert verdict.agree and verdict.short == 'mixnorm is right'
    assert 'scikit-learn found no mixture: empty' in verdict.reason
