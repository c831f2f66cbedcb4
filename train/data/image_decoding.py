"""What becomes of one image file: three colours, cropped and scaled."""

import functools
import io
import math
import os
import zipfile

import numpy

from train.command_line import one_line, UserError


_RATIOS = 3 / 4, 4 / 3


def read_image(root, size, name, seed=None):
    """Reads an image file, crops and scales it to a square.

    Without a seed it is the middle of the image, whose side is 7/8 of the
    image's shorter one: of 224 pixels, those that are left in the middle when
    the shorter side is scaled to 256. With one it is a random crop, mirrored
    left to right with probability one half.

    Args:
        root (str): The folder or the zip archive that the file is in.
        size (int): Side of the square, in pixels.
        name (str): The file's path in there.
        seed (int or None): Seed of the crop.

    Returns:
        numpy.ndarray: The image, ``(3, size, size)``, uint8: red, green and
        blue.

    Raises:
        UserError: If the file is no image that can be read; it names the
            file.

    """
    from PIL import Image

    try:
        with _open(root, name) as file, Image.open(file) as found:
            if found.mode.startswith(('I', 'F')):
                # Pillow would cut their levels off at 255.
                raise ValueError(f'its mode is {found.mode}, of more than 8 '
                                 'bits a channel')
            image = found.convert('RGB')
    except Exception as error:
        # Any bytes may stand in the file, and Pillow raises what they lead to.
        raise UserError(
            f'cannot read the image {os.path.join(root, name)}: '
            f'{one_line(error) or type(error).__name__}; put a whole image of '
            'that name in its place')
    is_flipped = False
    if seed is None:
        box = centre_box(*image.size)
    else:
        random = numpy.random.RandomState(seed)
        box = random_box(*image.size, random)
        is_flipped = random.randint(2)
    pixels = numpy.asarray(
        image.resize((size, size), Image.BILINEAR, box)).transpose(2, 0, 1)
    return pixels[:, :, ::-1] if is_flipped else pixels


def centre_box(width, height):
    """Returns the middle square of an image, 7/8 of its shorter side wide.

    Args:
        width (int): Width of the image, in pixels.
        height (int): Height of the image, in pixels.

    Returns:
        tuple of float: Left, upper, right and lower edge.

    """
    side = 7 / 8 * min(width, height)
    left, upper = (width - side) / 2, (height - side) / 2
    return left, upper, left + side, upper + side


def random_box(width, height, random_state):
    """Draws a part of an image to train on.

    Its area is uniform in 8 % to 100 % of the image's, and its width over its
    height log-uniform in 3/4 to 4/3. What does not fit into the image is drawn
    again, up to ten times; then it is the largest part in the middle with such
    a ratio.

    Args:
        width (int): Width of the image, in pixels.
        height (int): Height of the image, in pixels.
        random_state (numpy.random.RandomState): Source of random numbers.

    Returns:
        tuple of float: Left, upper, right and lower edge.

    Source: C. Szegedy et al., *Going Deeper with Convolutions* (2015),
    section 6.

    """
    for _ in range(10):
        area = width * height * random_state.uniform(.08, 1)
        ratio = math.exp(random_state.uniform(*map(math.log, _RATIOS)))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            left = random_state.randint(width - w + 1)
            upper = random_state.randint(height - h + 1)
            return left, upper, left + w, upper + h
    low, high = _RATIOS
    w, h = min(width, high * height), min(height, width / low)
    return (width - w) / 2, (height - h) / 2, (width + w) / 2, (height + h) / 2


def _open(root, name):
    if os.path.isdir(root):
        return open(os.path.join(root, name), 'rb')
    return io.BytesIO(open_archive(root).read(name))


# An archive's table of contents is read once in a process.
open_archive = functools.lru_cache(maxsize=None)(zipfile.ZipFile)
