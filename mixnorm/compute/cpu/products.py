"""Thin products: matrices of few rows times blocks of points.

A block is ``(b, r, C, l)``, ``r`` runs of ``l`` points.
"""
import numpy

from mixnorm.compute.layout import is_channels_last

# Multiplications of a matrix product that OpenBLAS leaves to one thread.
# Products on blocks stay below, or its threads and ours would wait for each
# other.
PRODUCT_SIZE = 1 << 18


def padded(n_columns):
    """Returns the number of columns that BLAS multiplies fastest.

    Its kernels work on four columns at a time; what is left of fewer costs as
    much again.  A single column it would give to threads of its own, however
    short, which then stand in the way of ours.

    """
    return -(-n_columns // 4) * 4


def padded_rows(matrix):
    """Appends rows of zeros to ``(J, C)`` as :func:`padded` says."""
    rows = numpy.zeros(
        (padded(len(matrix)), matrix.shape[1]), matrix.dtype)
    rows[:len(matrix)] = matrix
    return rows


def with_ones(tau):
    """Appends a row of ones to ``(b, r, J, l)``: its sums are plain sums."""
    *batch, n_columns, length = tau.shape
    extended = numpy.ones((*batch, n_columns + 1, length), tau.dtype)
    extended[..., :-1, :] = tau
    return extended


def product(matrix, z):
    """Computes ``matrix z``.

    Args:
        matrix (numpy.ndarray): ``(J, C)``.
        z (numpy.ndarray): ``(b, r, C, l)``.

    Returns:
        numpy.ndarray: ``(b, r, J, l)``.

    """
    # NumPy does not leave an outer product to BLAS.
    return (numpy.multiply if matrix.shape[1] == 1 else numpy.matmul)(
        matrix, z)


def expand(matrix, coefficients, out):
    """Computes ``out_c = sum_j matrix_jc coefficients_j`` at every point.

    Args:
        matrix (numpy.ndarray): ``(J, C)``.
        coefficients (numpy.ndarray): ``(b, r, J, l)``.
        out (numpy.ndarray): Where the result goes, ``(b, r, C, l)``.

    Returns:
        numpy.ndarray: ``out``.

    """
    if len(matrix) == 1:
        # An outer product, which NumPy does not leave to BLAS.
        numpy.multiply(matrix[0][:, None], coefficients, out=out)
    elif is_channels_last(out):
        numpy.matmul(coefficients.swapaxes(-1, -2), matrix,
                     out=out.swapaxes(-1, -2))
    else:
        numpy.matmul(matrix.T, coefficients, out=out)
    return out


def contract(coefficients, *arrays):
    """Computes ``sum_i coefficients_ji z_ic`` over a block, ``(J, C)``.

    Args:
        coefficients (numpy.ndarray): ``(b, r, J, l)``.
        arrays (numpy.ndarray): ``z``, each ``(b, r, C, l)``.

    Returns:
        list of numpy.ndarray: Of each array the sums, float64.

    """
    if arrays[0].shape[-2] == 1:
        # In one dimension no product of matrices.
        return [numpy.einsum('brjl,brcl->jc', coefficients, z).astype(
            numpy.float64) for z in arrays]
    *batch, n_columns, length = coefficients.shape
    rows = numpy.zeros(
        (*batch, padded(n_columns), length), coefficients.dtype)
    rows[..., :n_columns, :] = coefficients
    if rows.shape[-2] == 4:
        # One step of BLAS' kernels is faster so, more are faster below.
        sums = [numpy.matmul(rows, z.swapaxes(-1, -2)).sum(axis=(0, 1))
                for z in arrays]
    else:
        rows = rows.swapaxes(-1, -2)
        sums = [numpy.matmul(z, rows).sum(axis=(0, 1)).T for z in arrays]
    return [z[:n_columns].astype(numpy.float64) for z in sums]


def squared_norms(z):
    """Computes ``|z_i|^2`` for a block: ``(b, r, 1, l)``."""
    return numpy.einsum('brcl,brcl->brl', z, z)[:, :, None]


def squared_distances(z, norms, centers, scratch):
    """Computes ``|z_i - c_t|^2`` for a block.

    Args:
        z (numpy.ndarray): Points ``(b, r, C, l)``.
        norms (numpy.ndarray): ``|z_i|^2``, ``(b, r, 1, l)``.
        centers (numpy.ndarray): ``c``, ``(T, C)``.
        scratch (Scratch): Memory.

    Returns:
        numpy.ndarray: ``(b, r, T, l)``.

    """
    centers = centers.astype(z.dtype, copy=False)
    if z.shape[-2] == 1:
        # In one dimension the difference itself costs least.
        return numpy.square(z - centers)
    center_norms = (centers * centers).sum(axis=1)[:, None]
    distances = numpy.matmul(
        padded_rows(-2 * centers), z)[..., :len(centers), :]
    distances += center_norms
    distances += norms
    # What rounding leaves of the expansion where a distance is small.
    noise = 100 * numpy.finfo(z.dtype).eps * (norms + center_norms)
    if numpy.count_nonzero(distances < noise) > .05 * distances.size:
        difference = scratch.empty_like('difference', z)
        for t, center in enumerate(centers):
            numpy.subtract(z, center[:, None], out=difference)
            distances[..., t:t + 1, :] = squared_norms(difference)
    return numpy.maximum(distances, 0, out=distances)
