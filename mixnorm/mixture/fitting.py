"""A whole fit to a mini-batch: sample, seed, K-means, EM, discard."""

from mixnorm import compute
from mixnorm.compute.layout import get_array_module, working_dtype
from mixnorm.compute.parameters import Parameters, without_absent
from mixnorm.mixture.blocks import ArrayBlocks
from mixnorm.mixture.kmeans import seeding_draws
from mixnorm.mixture.randomness import sample_indices
from mixnorm.mixture.seeding import seed


# Added to the variances of a standardized activation.
REG_COVAR = 1e-6

# The same where EM goes on from mini-batch to mini-batch.  It would narrow a
# component down to where many values are equal, as the zeros of a rectified
# linear unit are, until the component has no points any more.
WARM_REG_COVAR = .05


def fit_activation(x, generator, *, n_components, n_iter, kmeans_iter,
                   n_init_trials, sample_ratio, min_weight, start=None,
                   seeding='k-means++'):
    """Fits a mixture to an activation: sample, seed, K-means, EM, discard.

    Distances and what is added to variances are in units of each channel's
    standard deviation, so that the fit follows when a channel is scaled.
    Seeded by K-means++, nothing waits for a GPU; values that are not finite
    make parameters that are not.

    Args:
        x (array or points): Stack ``(B, C, L)``, or what
            :meth:`mixnorm.compute.contract.Sample.with_origin` made of one.
        generator (numpy.random.Generator): Source of the random numbers.
        n_components (int): Number of components ``K``.
        n_iter (int): Iterations of K-means and EM together.
        kmeans_iter (int): How many of them are Lloyd's.
        n_init_trials (int or None): Candidates per centre in seeding.
        sample_ratio (float): Share of the points to use.
        min_weight (float): Components of smaller weight are dropped.
        start (Parameters or None): A mixture, as
            :func:`mixnorm.compute.carried.in_deviations` returns it, from
            which EM starts, in place of seeding and K-means.
        seeding (str): One of :data:`mixnorm.mixture.seeding.SEEDINGS`; on a
            GPU, all but ``'k-means++'`` wait for it.

    Returns:
        Parameters: The mixture: ``n_components`` components, of which those
        that were dropped have weight 0; on a CPU, without ``start``, they are
        missing.

    """
    arithmetic = compute.arithmetic(x)
    xp = get_array_module(x)
    indices = _sample(x, sample_ratio, generator)
    draws = None
    reg_covar = WARM_REG_COVAR
    if start is None:
        reg_covar = REG_COVAR
        if seeding == 'k-means++':
            draws = seeding_draws(n_components, n_init_trials, generator)
    else:
        dtype = working_dtype(x.dtype)
        start = Parameters(*(z.astype(dtype, copy=False) for z in start))
    em_iter = n_iter - kmeans_iter
    if start is not None or draws is not None:
        found = arithmetic.fit.at_once(
            x, indices, draws, n_components, kmeans_iter, em_iter, reg_covar,
            min_weight, start)
        if found is not None:
            return found
    sample, location, scale, center = arithmetic.sample.standardized_sample(
        x, indices if indices is None else xp.asarray(indices))
    if start is None:
        if draws is not None:
            found = _kmeans(
                sample, draws, n_components, kmeans_iter, reg_covar)
        else:
            found = lloyd(sample, seed(
                ArrayBlocks(sample), n_components, seeding, generator,
                n_init_trials), kmeans_iter, reg_covar)
        parameters = without_absent(found)
    else:
        parameters = _regularized(start, reg_covar)
        if center is not None:
            parameters = parameters._replace(means=parameters.means + center)
    for _ in range(em_iter):
        parameters, _ = arithmetic.mixture.em_step(
            sample, parameters, reg_covar)
    parameters = arithmetic.mixture.discard_and_rescale(
        parameters, min_weight, location, scale)
    # Components that go on from a start keep their numbers.
    return without_absent(parameters) if start is None else parameters


def _kmeans(x, draws, n_components, n_iter, reg_covar):
    """Seeds and runs Lloyd's iterations; returns what :func:`lloyd` does."""
    arithmetic = compute.arithmetic(x)
    if n_iter == 0:
        centers, _ = arithmetic.seeding.seed(x, n_components, draws)
        return lloyd(x, centers, 0, reg_covar)
    first = arithmetic.seeding.seeded_lloyd_step(x, n_components, draws)
    if n_iter > 1:
        return lloyd(x, first.means, n_iter - 1, reg_covar)
    return _regularized(first, reg_covar)


def lloyd(x, centers, n_iter, reg_covar):
    """Runs Lloyd's iterations and describes the clusters as a mixture.

    An iteration assigns each point to its nearest centre and moves each
    centre to the mean of its points; a centre without points stays.

    Args:
        x (array or points): Stack ``(B, C, L)``, or what
            :meth:`mixnorm.compute.contract.Sample.precompute` made of one.
        centers (array): ``(K, C)`` in the working dtype.
        n_iter (int): Number of iterations.
        reg_covar (float): Added to variances.

    Returns:
        Parameters: Weights, means and variances of the last iteration's
        clusters.  With ``n_iter=0``, the centres with equal weights and the
        variances of all points.

    """
    xp = get_array_module(centers)
    arithmetic = compute.arithmetic(x)
    if n_iter == 0:
        _, _, variances = arithmetic.mixture.lloyd_step(x, centers[:1])
        parameters = Parameters(
            xp.full((len(centers),), 1 / len(centers), centers.dtype),
            centers, xp.repeat(variances, len(centers), 0))
    for _ in range(n_iter):
        parameters = arithmetic.mixture.lloyd_step(x, centers)
        centers = parameters.means
    return _regularized(parameters, reg_covar)


def _regularized(parameters, reg_covar):
    variances = parameters.variances
    return parameters._replace(
        variances=variances + variances.dtype.type(reg_covar))


def _sample(x, ratio, generator):
    """Draws numbers of points; ``None`` stands for all of them."""
    if ratio == 1:
        return None
    return sample_indices(x.shape[0] * x.shape[2], ratio, generator)
