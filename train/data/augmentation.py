"""Random changes to a whole batch of images at once."""

import numpy


def flip_and_crop(images, random_state, pad=4):
    """Flips images at random and crops them from a padded frame.

    Every image is mirrored left to right with probability one half, and moved
    by up to ``pad`` pixels along each axis. Zeros, which are the mean of
    normalized images, fill what the move leaves empty.

    Args:
        images (numpy.ndarray): Images of shape ``(N, C, H, W)``, left as they
            are.
        random_state (numpy.random.RandomState): Source of the random numbers.
        pad (int): Largest move, in pixels.

    Returns:
        numpy.ndarray: Images of the same shape and dtype.

    """
    n, _, height, width = images.shape
    flipped = random_state.randint(2, size=n).astype(bool)
    top, left = random_state.randint(2 * pad + 1, size=(2, n))
    frame = numpy.pad(images, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    frame[flipped] = frame[flipped, :, :, ::-1]
    crops = numpy.lib.stride_tricks.sliding_window_view(
        frame, (height, width), axis=(2, 3))
    return numpy.ascontiguousarray(crops[numpy.arange(n), :, top, left])
