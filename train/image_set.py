"""A set of images in files: its settings, and that it stays the same."""

from train.command_line import (
    as_typed, non_negative_int, option, positive_int, UserError)
from train.data import image_files
from train.settings import By, CHANGE, Setting


_NAMES = 'images', 'image_size', 'workers'


def image_settings():
    """Returns the settings of what images there are and how to read them.

    The last is no argument: ``'image_set'`` is what :func:`load` found.

    Returns:
        list of ~train.settings.Setting: The settings.

    """
    return [
        Setting('images', None, 'of --dataset images: a folder with '
                'train/CLASS/* and val/CLASS/*; or zip archives with lists of '
                'names and classes, TRAIN.zip:TRAIN.txt TEST.zip:TEST.txt',
                check=image_files.absolute, before=[None], nargs='+',
                metavar='PATH'),
        Setting('image_size', By('dataset', {'images': 224}),
                'side of the images that reach the network, in pixels',
                before=[None], type=positive_int, metavar='N'),
        Setting('workers', None, 'processes that read images beside the '
                'training; 0 reads them in its own (default: as many as there '
                'are cores)', CHANGE, before=[None], type=non_negative_int,
                metavar='N'),
        Setting('image_set', None, None, before=[None])]


def check_use(settings, given):
    """Raises UserError if a setting would do nothing.

    Args:
        settings (dict): All settings.
        given (dict): Those that the user gave.

    """
    for name in _NAMES:
        if name in given and settings['dataset'] != 'images':
            raise UserError(f'{option(name)} goes with --dataset images, not '
                            f"{settings['dataset']}")


def load(settings):
    """Finds the images of a run.

    Args:
        settings (dict): All settings of the run.

    Returns:
        tuple: Training set and test set; and the settings, whose
        ``'image_set'`` tells the set of images from others.

    Raises:
        UserError: If the images are not there, or are not those that the run
            was started with.

    """
    if settings['images'] is None:
        raise UserError('--dataset images needs --images FOLDER, which has '
                        'train/CLASS/* and val/CLASS/*')
    train_set, test_set, found = image_files.load(
        *(settings[name] for name in (
            'images', 'image_size', 'train_size', 'test_size', 'workers')))
    if settings['image_set'] not in (None, found):
        raise UserError(
            f"--images {as_typed(settings['images'])} has changed since the "
            f"run was started: {_in_words(settings['image_set'])} then, "
            f'{_in_words(found)} now; a resumed run needs the same files')
    return train_set, test_set, dict(settings, image_set=found)


def _in_words(image_set):
    return (f"{image_set['train']} training images and {image_set['test']} "
            f"test images of {image_set['classes']} classes, digest "
            f"{image_set['digest'][:8]}")
