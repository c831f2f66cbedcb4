"""How far generated samples are from real ones, by their features.

All functions take features, arrays of shape ``(n, D)``: a row for each sample,
such as a network's activations for an image. They compute in float64.
"""

import numpy


# Rows that are compared with all others at a time: what bounds the memory.
_BLOCK = 500


def mean_and_covariance(features):
    """Estimates mean and covariance.

    Args:
        features (numpy.ndarray): ``(n, D)``.

    Returns:
        tuple of numpy.ndarray: Mean, ``(D,)``, and covariance, ``(D, D)``,
        unbiased: with ``n - 1`` in its divisor.

    Raises:
        ValueError: If there are fewer than two rows, or not all is finite.

    """
    features = _checked('features', features, 2)
    return features.mean(axis=0), numpy.atleast_2d(
        numpy.cov(features, rowvar=False))


def frechet_distance(mean1, covariance1, mean2, covariance2):
    r"""Computes the Frechet distance between two Gaussians.

    .. math::

       d = \|\mu_1 - \mu_2\|^2
           + \mathrm{tr}(C_1 + C_2 - 2 (C_1 C_2)^{1/2})

    The covariances may be singular. The trace of the root is that of
    :math:`(C_1^{1/2} C_2 C_1^{1/2})^{1/2}`, which is symmetric: the sum of the
    roots of its eigenvalues, real and exact also where :math:`C_1 C_2` has no
    root.

    Args:
        mean1 (numpy.ndarray): Mean of the first, ``(D,)``.
        covariance1 (numpy.ndarray): Covariance of the first, ``(D, D)``.
        mean2 (numpy.ndarray): Mean of the second.
        covariance2 (numpy.ndarray): Covariance of the second.

    Returns:
        float: The distance, of the square of the features' unit. By
        Inception's features it is the Frechet Inception distance (FID).

    Source: D. C. Dowson and B. V. Landau, *The Frechet Distance between
    Multivariate Normal Distributions* (1982); M. Heusel et al.,
    *GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash
    Equilibrium* (2017), equation 6.

    """
    covariance1, covariance2 = (
        numpy.asarray(z, numpy.float64) for z in (covariance1, covariance2))
    values, vectors = numpy.linalg.eigh(covariance1)
    root = (vectors * numpy.sqrt(values.clip(min=0))) @ vectors.T
    product = root @ covariance2 @ root
    trace_of_root = numpy.sqrt(numpy.linalg.eigvalsh(
        (product + product.T) / 2).clip(min=0)).sum()
    difference = numpy.asarray(mean1, numpy.float64) - mean2
    distance = (difference @ difference + numpy.trace(covariance1)
                + numpy.trace(covariance2) - 2 * trace_of_root)
    # The distance of equal Gaussians may come out as a tiny negative number.
    return max(float(distance), 0.)


def kernel_distance(real, generated):
    r"""Computes the kernel distance, the unbiased estimate of an MMD^2.

    .. math::

       \frac{\sum_{i \ne j} k(x_i, x_j)}{m (m - 1)}
       + \frac{\sum_{i \ne j} k(y_i, y_j)}{n (n - 1)}
       - \frac{2 \sum_{i, j} k(x_i, y_j)}{m n},
       \qquad k(x, y) = (x \cdot y / D + 1)^3

    It is over all rows at once, not the mean over subsets of them. Its
    expected value is 0 where the distributions are the same, so single
    estimates may be negative.

    Args:
        real (numpy.ndarray): Features of real samples, ``(m, D)``.
        generated (numpy.ndarray): Features of generated samples, ``(n, D)``.

    Returns:
        float: The estimate. By Inception's features it is the kernel
        Inception distance (KID).

    Raises:
        ValueError: If either has fewer than two rows, they do not have the
            same number of columns, or not all is finite.

    Source: M. Binkowski, D. J. Sutherland, M. Arbel and A. Gretton,
    *Demystifying MMD GANs* (2018), section 4; A. Gretton et al., *A Kernel
    Two-Sample Test* (2012), equation 3.

    """
    real, generated = _checked_pair(real, generated, 2)
    return (_mean_kernel_among(real) + _mean_kernel_among(generated)
            - 2 * _sum_kernel(real, generated)
            / (len(real) * len(generated)))


def neighbour_distances(features, k=5):
    """Computes the squared distances to the ``k``-th nearest neighbours.

    Args:
        features (numpy.ndarray): ``(n, D)``.
        k (int): Which neighbour; a row is none of its own.

    Returns:
        numpy.ndarray: The squared Euclidean distances, ``(n,)``.

    Raises:
        ValueError: If there are not more than ``k`` rows, or not all is
            finite.

    """
    features = _checked('features', features, k + 1)
    found = numpy.empty(len(features))
    for start in range(0, len(features), _BLOCK):
        block = slice(start, start + _BLOCK)
        squared = _squared_distances(features[block], features)
        rows = numpy.arange(len(squared))
        squared[rows, start + rows] = numpy.inf
        found[block] = numpy.partition(squared, k - 1, axis=1)[:, k - 1]
    return found


def density_and_coverage(real, generated, k=5, radii=None):
    r"""Computes density and coverage.

    Around each real sample :math:`x_i` is the ball that its ``k``-th nearest
    real neighbour lies on. Density is how many balls a generated sample
    :math:`y_j` is in, on average, over ``k``: 1 is expected where the
    distributions are the same, more where samples keep to where real ones are
    dense. Coverage is the share of the balls that a generated sample is in:
    low where modes are missing.

    .. math::

       \frac{1}{k n} \sum_j \sum_i 1[\|y_j - x_i\| < r_i], \qquad
       \frac{1}{m} \sum_i 1[\min_j \|y_j - x_i\| < r_i]

    Args:
        real (numpy.ndarray): Features of real samples, ``(m, D)``.
        generated (numpy.ndarray): Features of generated samples, ``(n, D)``.
        k (int): Which neighbour.
        radii (numpy.ndarray or None): What :func:`neighbour_distances` returns
            of ``real`` and ``k``, where it is known already.

    Returns:
        tuple of float: Density, at least 0, and coverage, in [0, 1].

    Raises:
        ValueError: If there are not more than ``k`` real samples, the numbers
            of columns differ, or not all is finite.

    Source: M. F. Naeem, S. J. Oh, Y. Uh, Y. Choi and J. Yoo, *Reliable
    Fidelity and Diversity Metrics for Generative Models* (2020), section 3.

    """
    real, generated = _checked_pair(real, generated, k + 1, 1)
    if radii is None:
        radii = neighbour_distances(real, k)
    n_inside = 0
    is_covered = numpy.zeros(len(real), bool)
    for start in range(0, len(generated), _BLOCK):
        is_inside = _squared_distances(
            generated[start:start + _BLOCK], real) < radii
        n_inside += is_inside.sum()
        is_covered |= is_inside.any(axis=0)
    return float(n_inside / (k * len(generated))), float(is_covered.mean())


def _mean_kernel_among(x):
    """Returns the mean of the kernel over pairs of different rows."""
    of_itself = ((_dot(x) / x.shape[1] + 1) ** 3).sum()
    return (_sum_kernel(x, x) - of_itself) / (len(x) * (len(x) - 1))


def _sum_kernel(x, y):
    return sum(((x[start:start + _BLOCK] @ y.T / x.shape[1] + 1) ** 3).sum()
               for start in range(0, len(x), _BLOCK))


def _squared_distances(x, y):
    return _dot(x)[:, None] + _dot(y) - 2 * (x @ y.T)


def _dot(x):
    return numpy.einsum('nd,nd->n', x, x)


def _checked_pair(real, generated, least_real, least_generated=None):
    real = _checked('real', real, least_real)
    generated = _checked('generated', generated, least_generated or least_real)
    if real.shape[1] != generated.shape[1]:
        raise ValueError(
            f'generated has {generated.shape[1]} columns: it must have as '
            f'many as real, {real.shape[1]}')
    return real, generated


def _checked(name, features, least):
    features = numpy.asarray(features, numpy.float64)
    if features.ndim != 2 or len(features) < least:
        raise ValueError(f'{name} has the shape {features.shape}: it must be '
                         f'(n, D) with n of at least {least}')
    if not numpy.isfinite(features).all():
        raise ValueError(f'{name} must be finite')
    return features
