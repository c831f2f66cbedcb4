import numpy
import pytest

from train.data.augmentation import flip_and_crop


def _moved(image, flipped, top, left):
    """Returns an image moved by (top - 2, left - 2), pixel by pixel."""
    n_channels, height, width = image.shape
    result = numpy.zeros_like(image)
    for c in range(n_channels):
        for i in range(height):
            for j in range(width):
                row, column = i + top - 2, j + left - 2
                if 0 <= row < height and 0 <= column < width:
                    if flipped:
                        column = width - 1 - column
                    result[c, i, j] = image[c, row, column]
    return result


@pytest.mark.parametrize('shape', [(1, 3, 5, 4), (2, 1, 3, 7)])
def test_images_are_flipped_and_moved(shape):
    seed = 1
    random = numpy.random.RandomState(seed)
    images = random.uniform(1, 2, size=shape).astype(numpy.float32)
    before = images.copy()
    possible = [
        {_moved(image, flipped, top, left).tobytes(): (flipped, top, left)
         for flipped in (False, True) for top in range(5) for left in range(5)}
        for image in images]
    seen = [set() for _ in images]
    for _ in range(1500):
        result = flip_and_crop(images, random, pad=2)
        assert result.shape == shape and result.dtype == numpy.float32
        for index, image in enumerate(result):
            assert image.tobytes() in possible[index], f'seed {seed}'
            seen[index].add(possible[index][image.tobytes()])
    assert all(len(moves) == 50 for moves in seen), f'seed {seed}'
    numpy.testing.assert_array_equal(images, before)


def test_images_of_a_batch_move_on_their_own():
    seed = 2
    image = numpy.random.RandomState(seed).uniform(size=(1, 3, 8, 8))
    result = flip_and_crop(
        image.repeat(500, axis=0), numpy.random.RandomState(seed))
    # 2 * 9 * 9 changes are possible; 500 draws miss few of them.
    assert len({image.tobytes() for image in result}) > 130


def test_same_generator_same_images():
    images = numpy.random.RandomState(0).uniform(size=(6, 3, 8, 8))
    first, second = (flip_and_crop(images, numpy.random.RandomState(7))
                     for _ in range(2))
    numpy.testing.assert_array_equal(first, second)
