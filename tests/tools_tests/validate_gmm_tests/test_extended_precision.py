import decimal
import warnings

import numpy
import pytest
from sklearn.mixture import GaussianMixture

from mixnorm.mixture import Parameters
from tools.validate_gmm import extended_precision


D = decimal.Decimal
PI = D('3.14159265358979323846264338327950288419716939937510')


def _start(X, n_components, seed):
    random = numpy.random.RandomState(seed)
    weights = random.uniform(.5, 1.5, n_components)
    return Parameters(
        weights / weights.sum(), X[:n_components].astype('d'),
        random.uniform(.5, 2, (n_components, X.shape[1])))


def _decimals(z):
    """Returns nested lists of the very numbers that an array holds."""
    return [_decimals(one) if numpy.ndim(one) else D(float(one)) for one in z]


def _step_in_decimals(X, parameters, reg_covar):
    """One iteration of EM, number by number, in 50 digits."""
    with decimal.localcontext() as context:
        context.prec = 50
        X, (weights, means, variances) = _decimals(X), map(
            _decimals, parameters)
        K, C, M = range(len(weights)), range(len(X[0])), len(X)
        joint = [[weights[k] * (-sum(
            (x[c] - means[k][c]) ** 2 / variances[k][c] for c in C
        ) / 2).exp() / _product(
            (2 * PI * variances[k][c]).sqrt() for c in C)
            for k in K] for x in X]
        densities = [sum(row) for row in joint]
        tau = [[row[k] / density for k in K]
               for row, density in zip(joint, densities)]
        counts = [sum(row[k] for row in tau) for k in K]
        new = [[sum(row[k] * x[c] for row, x in zip(tau, X)) / counts[k]
                for c in C] for k in K]
        return (
            [count / M for count in counts], new,
            [[sum(row[k] * (x[c] - new[k][c]) ** 2
                  for row, x in zip(tau, X)) / counts[k] + D(reg_covar)
              for c in C] for k in K],
            sum(density.ln() for density in densities) / M)


def _product(values):
    result = D(1)
    for value in values:
        result *= value
    return result


def _exactly(value):
    """Returns a longdouble as a decimal, in two parts of float64."""
    high = float(value)
    return D(high) + D(float(value - numpy.longdouble(high)))


@pytest.mark.parametrize('origin', [0., 1000.])
def test_step_is_that_of_decimals(origin):
    random = numpy.random.RandomState(0)
    X = origin + random.randn(6, 2)
    start = _start(X, 2, 1)
    parameters, lower_bound = extended_precision.em_step(
        X.astype(numpy.longdouble),
        Parameters(*(z.astype(numpy.longdouble) for z in start)), 1e-6)
    *expected, expected_bound = _step_in_decimals(X, start, 1e-6)
    # Beyond float64, whose rounding is 2e-16.
    tolerance = D('3e-18') * (1 + int(origin))
    for actual, wanted in zip(parameters, expected):
        assert actual.dtype == numpy.longdouble
        for one, other in zip(actual.ravel(), numpy.ravel(wanted)):
            assert abs(_exactly(one) / other - 1) < tolerance
    assert abs(_exactly(lower_bound) / expected_bound - 1) < tolerance


@pytest.mark.parametrize('tol', [1e-2, 1e-4])
def test_stops_where_scikit_learn_stops(tol):
    random = numpy.random.RandomState(0)
    X = random.randn(200, 2) + 2 * random.randint(3, size=(200, 1))
    start = _start(X, 3, 0)
    told = []
    parameters, n_iter, converged = extended_precision.fit(
        X, start, 1e-6, tol, 60, told.append)
    theirs = GaussianMixture(
        3, covariance_type='diag', weights_init=start.weights,
        means_init=start.means, precisions_init=1 / start.variances, tol=tol,
        max_iter=60)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        theirs.fit(X)
    assert n_iter == theirs.n_iter_ == told[-1] == len(told)
    assert converged == theirs.converged_
    for actual, expected in zip(parameters, (
            theirs.weights_, theirs.means_, theirs.covariances_)):
        numpy.testing.assert_allclose(actual.astype('d'), expected, 1e-9)


def test_without_a_tolerance_all_iterations_run():
    X = numpy.random.RandomState(0).randn(50, 1)
    _, n_iter, converged = extended_precision.fit(
        X, _start(X, 1, 0), 1e-6, 0., 7, lambda i: None)
    assert n_iter == 7 and not converged


def test_component_without_points_stays():
    X = numpy.array([[0.], [1.], [3.]])
    start = Parameters(numpy.array([.5, .5]), numpy.array([[1.], [1e6]]),
                       numpy.array([[1.], [1.]]))
    parameters, _, _ = extended_precision.fit(
        X, start, 1e-6, 0., 2, lambda i: None)
    assert parameters.weights.tolist() == [1, 0]
    assert parameters.means[1] == 1e6
    assert parameters.means[0] == pytest.approx(4 / 3, rel=1e-15)
    assert numpy.isfinite(parameters.variances).all()
