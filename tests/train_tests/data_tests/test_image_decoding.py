import zipfile

import numpy
import pytest
from PIL import Image

from train_tests.image_folders import MODES
from train.command_line import UserError
from train.data.image_decoding import centre_box, random_box, read_image


def _gradient(width, height):
    """Returns red that grows to the right and green that grows downwards."""
    pixels = numpy.zeros((height, width, 3), numpy.uint8)
    pixels[:, :, 0] = numpy.linspace(0, 255, width)
    pixels[:, :, 1] = numpy.linspace(0, 255, height)[:, None]
    return Image.fromarray(pixels)


@pytest.mark.parametrize('width, height', [(400, 300), (300, 500), (90, 90)])
def test_centre_is_that_of_256_pixels_cropped_to_224(
        width, height, tmp_path):
    image = _gradient(width, height)
    image.save(tmp_path / 'a.png')
    found = read_image(str(tmp_path), 224, 'a.png')
    assert found.shape == (3, 224, 224) and found.dtype == numpy.uint8
    scale = 256 / min(width, height)
    whole = image.resize(
        (round(width * scale), round(height * scale)), Image.BILINEAR)
    left, upper = (whole.width - 224) // 2, (whole.height - 224) // 2
    expected = numpy.asarray(whole.crop(
        (left, upper, left + 224, upper + 224))).transpose(2, 0, 1)
    # To the rounding of crops to pixels, of which one is two levels here.
    assert abs(found.astype(int) - expected).max() <= 2


@pytest.mark.parametrize('mode', MODES)
def test_every_mode_becomes_three_colours(mode, tmp_path):
    """A green image, and what is green in each mode."""
    image = Image.new('RGB', (20, 30), (0, 204, 0)).convert(mode)
    image.save(tmp_path / 'a', MODES[mode])
    found = read_image(str(tmp_path), 8, 'a')
    assert found.shape == (3, 8, 8)
    # 0.587 of the brightness is green; one bit is dithered,
    # and 204 is in Pillow's palette.
    colours = {'L': 3 * (120,), 'LA': 3 * (120,)}.get(mode, (0, 204, 0))
    if mode == '1':
        assert (found == found[0]).all() and 80 < found.mean() < 160
    else:
        assert abs(found.astype(int).transpose(1, 2, 0) - colours).max() <= 3


def test_alpha_is_left_out(tmp_path):
    Image.new('RGBA', (9, 9), (10, 20, 30, 0)).save(tmp_path / 'a.png')
    found = read_image(str(tmp_path), 4, 'a.png')
    assert found[:, 0, 0].tolist() == [10, 20, 30]


def test_seed_crops_and_mirrors(tmp_path):
    """What is seen of the gradients tells the box, and which way round."""
    _gradient(256, 256).save(tmp_path / 'a.png')
    ways = set()
    for seed in range(40):
        red, green, _ = read_image(
            str(tmp_path), 32, 'a.png', seed).astype(int)
        left, upper, right, lower = random_box(
            256, 256, numpy.random.RandomState(seed))
        is_mirrored = red[0, 0] > red[0, -1]
        ways.add(is_mirrored)
        if is_mirrored:
            red = red[:, ::-1]
        # The middle of the first and the last pixel.
        for found, low, high in ((red[0], left, right),
                                 (green[:, 0], upper, lower)):
            step = (high - low) / 32
            assert abs(found[0] - (low + step / 2)) < 2 + step / 2, seed
            assert abs(found[-1] - (high - step / 2)) < 2 + step / 2, seed
        numpy.testing.assert_array_equal(
            read_image(str(tmp_path), 32, 'a.png', seed),
            read_image(str(tmp_path), 32, 'a.png', seed))
    assert ways == {False, True}


@pytest.mark.parametrize('width, height', [(64, 48), (500, 333), (8, 9)])
def test_random_boxes(width, height):
    seed = 0
    random = numpy.random.RandomState(seed)
    boxes = numpy.array([
        random_box(width, height, random) for _ in range(2000)])
    left, upper, right, lower = boxes.T
    assert (left >= 0).all() and (upper >= 0).all()
    assert (right <= width).all() and (lower <= height).all()
    w, h = right - left, lower - upper
    # One pixel of rounding along each side.
    assert (w / (h + 1) <= 4 / 3).all() and ((w + 1) / h >= 3 / 4).all()
    shares = w * h / (width * height)
    assert shares.min() > .03 and shares.max() > .85, f'seed {seed}'
    assert .35 < numpy.median(shares) < .6, f'seed {seed}'
    # Everywhere in the image.
    assert (left == 0).any() and (right == width).any()
    assert (upper == 0).any() and (lower == height).any()


@pytest.mark.parametrize('width, height, expected', [
    (1000, 30, (480, 0, 520, 30)), (3, 400, (0, 198, 3, 202))])
def test_box_of_a_strip_is_its_middle(width, height, expected):
    """No box of the ratios that are drawn has 8 % of a strip's area."""
    assert random_box(
        width, height, numpy.random.RandomState(0)) == pytest.approx(expected)


def test_centre_box():
    assert centre_box(80, 160) == (5, 45, 75, 115)


@pytest.mark.parametrize('damage, words', [
    (lambda data: b'', 'cannot identify'),
    (lambda data: b'no image at all', 'cannot identify'),
    (lambda data: data[:len(data) // 2], 'truncated')])
@pytest.mark.parametrize('is_zipped', [False, True])
def test_broken_file_is_named(damage, words, is_zipped, tmp_path):
    pixels = numpy.random.RandomState(0).randint(256, size=(64, 64, 3))
    Image.fromarray(pixels.astype(numpy.uint8)).save(tmp_path / 'a.jpg')
    data = damage((tmp_path / 'a.jpg').read_bytes())
    (tmp_path / 'a.jpg').write_bytes(data)
    root = tmp_path
    if is_zipped:
        root = tmp_path / 'b.zip'
        with zipfile.ZipFile(root, 'w') as archive:
            archive.writestr('a.jpg', data)
    with pytest.raises(UserError, match=words) as error:
        read_image(str(root), 8, 'a.jpg')
    assert str(root / 'a.jpg') in str(error.value)
    assert '\n' not in str(error.value)


def test_file_that_is_gone_is_named(tmp_path):
    with pytest.raises(UserError, match='No such file') as error:
        read_image(str(tmp_path), 8, 'gone.png')
    assert str(tmp_path / 'gone.png') in str(error.value)


def test_more_than_8_bits_are_refused(tmp_path):
    Image.fromarray(numpy.full((9, 9), 40000, numpy.uint16)).save(
        tmp_path / 'a.png')
    with pytest.raises(UserError, match='more than 8 bits'):
        read_image(str(tmp_path), 8, 'a.png')
