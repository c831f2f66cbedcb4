"""Cases that the tests of the kernels share, and NumPy in float64."""
import numpy

from mixnorm.compute import gpu
from mixnorm.compute.parameters import Parameters


# Shape (B, C, L), components, dtype, order of memory, and how many
# thread blocks share the points at most.
CASES = [
    ((1, 1, 1), 1, 'float32', 'contiguous', 512),
    ((1, 1, 130), 3, 'float64', 'contiguous', 512),
    ((5, 3, 1), 2, 'float32', 'contiguous', 512),
    ((1, 37, 300), 3, 'float32', 'channels last', 512),
    ((1, 7, 301), 16, 'float16', 'channels last', 512),
    ((3, 5, 49), 4, 'float32', 'strided', 512),
    ((9, 2, 3), 5, 'float64', 'strided', 512),
    ((4, 65, 16), 8, 'float16', 'contiguous', 512),
    ((2, 130, 17), 16, 'float32', 'contiguous', 512),
    ((3, 33, 2), 1, 'float16', 'strided', 512),
    ((1, 600, 40), 3, 'float32', 'contiguous', 512),
    ((2, 290, 9), 16, 'float64', 'channels last', 512),
    ((70, 3, 40), 3, 'float32', 'contiguous', 512),
    ((3, 9, 300), 3, 'float32', 'contiguous', 2),
    ((1, 130, 500), 6, 'float16', 'channels last', 3),
    ((2, 3, 700), 16, 'float64', 'contiguous', 1),
    ((1, 700, 100), 2, 'float32', 'contiguous', 2),
]

SMALL_CASES = [
    ((2, 130, 17), 5, 'float32', 'contiguous', 512),
    ((3, 5, 49), 3, 'float64', 'channels last', 512),
    ((1, 2, 400), 16, 'float16', 'strided', 512),
    ((3, 70, 200), 6, 'float32', 'contiguous', 2),
]


def case_name(arguments):
    return '{}-{}-{}-{}-{}'.format(
        'x'.join(map(str, arguments[0])), *arguments[1:])


class Case:

    """Points in loose groups, a mixture that may be theirs, and a posterior.

    The generator's seed is fixed: a failure is one of the case's name.

    """

    def __init__(self, shape, n_components, dtype, layout='contiguous',
                 seed=0):
        self.random = random = numpy.random.RandomState(seed)
        self.layout = layout
        n_batch, n_dims, length = shape
        groups = 2 * random.randn(n_components, n_dims)
        number = random.randint(n_components, size=(n_batch, length))
        x = groups[number].transpose(0, 2, 1) + random.randn(*shape)
        self.x = x.astype(dtype)
        self.working = numpy.promote_types(dtype, 'float32')
        self.parameters = self.mixture(groups)
        self.tau = random.dirichlet(
            numpy.ones(n_components), (n_batch, length)).transpose(
                0, 2, 1).astype(self.working)
        # Single precision, and float16's where that is what is returned.
        self.rtol = {'float64': 1e-11}.get(dtype, 2e-5)
        self.rtol_out = {'float16': 1e-3}.get(dtype, self.rtol)

    def mixture(self, means):
        n_components, n_dims = means.shape
        weights = self.random.dirichlet(3 * numpy.ones(n_components))
        means = means + .3 * self.random.randn(*means.shape)
        variances = self.random.uniform(.5, 4, means.shape)
        return Parameters(*(
            z.astype(self.working) for z in (weights, means, variances)))

    def matrix(self, n_rows):
        return self.random.randn(n_rows, self.x.shape[1]).astype(self.working)

    def row(self):
        return self.matrix(1)[0]


def run_all(device, case):
    """Calls every function on points; returns the bytes of what it returns."""
    x = device.send(case.x, case.layout)
    n_components = len(case.parameters.weights)
    parameters = Parameters(*map(device.send, case.parameters))
    matrices = [device.send(numpy.random.RandomState(i).randn(
        n_components, x.shape[1]).astype(case.working)) for i in range(3)]
    tau = device.send(case.tau)
    origin = gpu.transform.find_origin(x)
    draws = numpy.random.RandomState(0).uniform(
        size=1 + (n_components - 1) * 3)
    indices = device.send(numpy.arange(0, x.shape[0] * x.shape[2], 3))
    results = [
        gpu.seeding.seed(x, n_components, draws),
        gpu.seeding.seeded_lloyd_step(x, n_components, draws),
        gpu.mixture.lloyd_step(x, parameters.means),
        gpu.mixture.em_step(x, parameters, 1e-6),
        gpu.mixture.posterior(
            x, *(device.xp.stack(4 * [z]) for z in parameters)),
        gpu.mixture.posterior_and_statistics(x, parameters),
        gpu.mixture.statistics(x, tau),
        gpu.transform.affine(x, tau, matrices[0], matrices[1], origin, origin),
        gpu.transform.gradient_sums(x, x, tau, origin),
        gpu.transform.gradient_input(x, x, tau, *matrices, origin),
        gpu.transform.gradient_input(
            x, x, tau, matrices[0], None, None, origin),
        gpu.sample.standardized_sample(x, indices)[:3],
        gpu.mixture.discard_and_rescale(parameters, .1, origin, origin),
    ]

    def flatten(value):
        if isinstance(value, tuple):
            return [array for item in value for array in flatten(item)]
        return [device.get(value)]

    return [array.tobytes() for array in flatten(tuple(results))]


def assert_close(actual, expected, rtol):
    """Compares in units of the expected values' size."""
    assert actual.shape == expected.shape
    finite = expected[numpy.isfinite(expected)]
    size = max(numpy.abs(finite).max(initial=0), 1e-3)
    numpy.testing.assert_allclose(actual, expected, rtol, rtol * size)


def rows(x):
    """Points (M, C) of a stack, in float64."""
    return x.transpose(0, 2, 1).reshape(-1, x.shape[1]).astype('d')


def posterior(x, parameters):
    """Eq. (31) and the log density, point by point: (M, K) and (M,)."""
    weights, means, variances = (z.astype('d') for z in parameters)
    present = weights > 0
    distance = (rows(x)[:, None] - means[present]) ** 2
    joint = numpy.log(weights[present]) - .5 * (
        numpy.log(2 * numpy.pi * variances[present])
        + distance / variances[present]).sum(axis=2)
    log_density = numpy.logaddexp.reduce(joint, axis=1)
    tau = numpy.zeros((len(joint), len(weights)))
    tau[:, present] = numpy.exp(joint - log_density[:, None])
    return tau, log_density


def moments(x, tau):
    """Eqs. (35) and (36): weights, means, variances in two passes."""
    x = rows(x)
    counts = tau.sum(axis=0)
    means = tau.T @ x / counts[:, None]
    variances = numpy.stack([
        tau[:, k] @ (x - mean) ** 2 / counts[k]
        for k, mean in enumerate(means)])
    return counts / len(x), means, variances


def assert_parameters(actual, expected, case):
    """Compares mixtures, but for what a vanishing mass determines."""
    assert all(z.dtype == case.working for z in actual)
    assert_close(actual[0], expected[0], 20 * case.rtol)
    heavy = (expected[0] > 1e-6) | (expected[0] == 0)
    for a, e in zip(actual[1:], expected[1:]):
        assert_close(a[heavy], e[heavy], 20 * case.rtol)
