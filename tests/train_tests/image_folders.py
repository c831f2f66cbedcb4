"""Small sets of images in files, of several sizes and modes."""

import zipfile

import numpy
from PIL import Image


CLASSES = 'cat', 'dog', 'emu'

# Modes of Pillow, and a format that holds them.
MODES = {'RGB': 'JPEG', 'L': 'JPEG', 'CMYK': 'JPEG', 'RGBA': 'PNG',
         'P': 'PNG', 'LA': 'PNG', '1': 'PNG'}


def write_folder(folder, n_train=7, n_test=2, classes=CLASSES):
    """Writes a set of images, so many for each class."""
    random = numpy.random.RandomState(0)
    for part, n in (('train', n_train), ('val', n_test)):
        for label, name in enumerate(classes):
            (folder / part / name).mkdir(parents=True)
            for i, (mode, form) in zip(range(n), MODES.items()):
                width, height = random.randint(17, 60, size=2)
                pixels = random.randint(60, size=(height, width, 3)) + [
                    60 * label, 90, 150 - 60 * label]
                image = Image.fromarray(pixels.astype(numpy.uint8))
                image.convert(mode).save(
                    folder / part / name / f'{part}{i}.{form}', form)
    return folder


def write_archives(folder, n_train=7, n_test=2):
    """Writes the same as zip archives with lists; returns the arguments."""
    source = write_folder(folder / 'source', n_train, n_test)
    arguments = []
    for part in ('train', 'val'):
        lines = []
        with zipfile.ZipFile(folder / f'{part}.zip', 'w') as archive:
            for label, name in enumerate(CLASSES):
                for path in sorted((source / part / name).iterdir()):
                    archive.write(path, f'{name}/{path.name}')
                    lines.append(f'{name}/{path.name} {label}\n')
        (folder / f'{part}.txt').write_text(''.join(lines))
        arguments.append(f"{folder / part}.zip:{folder / part}.txt")
    return arguments
