"""Trains DCGAN, with a choice of normalizers in its generator.

    python -m train.gan --normalizer mixture --at bn1 bn2 --out result/a
    python -m train.gan --recipe cifar10-dcgan-MN --out result/b \\
        --features inception.npz
    python -m train.gan --resume --out result/b

A run writes to its folder: run.json (settings, versions), log (JSON), curves
(PNG), samples (PNG), mixture.npz where a layer has mixtures or modes, and a
snapshot that --resume goes on from. On a CPU a resumed run ends with the same
weights, bit for bit, as one that was never stopped.
"""

import functools
import importlib.util
import sys

import mixnorm  # NOQA  (makes Chainer importable, so it comes first)
import chainer
from chainer.training import extension
import numpy

from mixnorm.extensions import Curves
from models.dcgan import Discriminator, Generator
from train import command_line
from train import normalizers
from train import shared_settings
from train.adversarial import curves
from train.adversarial import samples
from train.adversarial.evaluation import (
    check_same_features, check_sizes, Distances)
from train.adversarial.features import load_features
from train.adversarial.updater import AdversarialUpdater
from train.command_line import option, positive_float, positive_int, UserError
from train.data import task_sets
from train.data.batches import BatchIterator, check_batch_size
from train.experiments import gan as experiment
from train.experiments.tables import as_text
from train.loop import schedule
from train.loop.folder_run import (
    Reports, run_in_folder, start_or_resume)
from train.loop.triggers import Every
from train.network import make_model
from train.settings import By, CHANGE, Setting, Settings


_LAYERS = Generator.normalized_layers


def _width(value):
    if value % 8:
        raise ValueError(f'is {value}: it must be a multiple of 8')
    return value


_GROUPS = {
    'what to train': [
        Setting('dataset', 'digits', 'set of images',
                choices=task_sets.NAMES),
        shared_settings.recipe(experiment.RECIPES),
        Setting('train_size', None, 'use the first N training images of the '
                'set only', type=positive_int, metavar='N'),
        Setting('n_latent', 100, 'length of the vectors that images are made '
                'from', type=positive_int, metavar='N'),
        Setting('width', 512, 'channels of the smallest maps, a multiple of '
                '8', check=_width, type=positive_int, metavar='N'),
        *normalizers.normalizer_settings(
            f"{', '.join(_LAYERS)} of the generator")],
    'training': [
        Setting('lr', 2e-4, "learning rate: Adam's alpha",
                type=positive_float, metavar='RATE'),
        Setting('betas', [.5, .999], 'shares that the averages of the '
                'gradients and of their squares keep: beta1 and beta2 of Adam',
                type=command_line.share, nargs=2, metavar='SHARE'),
        Setting('batch_size', 64, 'real images in a batch, and generated ones',
                type=positive_int, metavar='N'),
        Setting('iterations', By('dataset', {
            name: 2000 if name in ('digits', 'textures') else 100000
            for name in task_sets.NAMES}), 'length of the run in updates',
            CHANGE, type=positive_int, metavar='N'),
        shared_settings.scale()],
    'what is looked at': [
        Setting('samples_every', 1000, 'updates between pictures of '
                'generated images', CHANGE, type=positive_int, metavar='N'),
        Setting('features', None, 'what distances are taken by: Inception '
                "weights in Chainer's npz, or the folder of a run of "
                'train.classifier (default: none, no distances)', CHANGE,
                metavar='FILE'),
        Setting('distance_every', 10000, 'updates between distances',
                CHANGE, type=positive_int, metavar='N'),
        Setting('n_samples', 10000, 'images that are made for a distance',
                type=positive_int, metavar='N')],
    'run': [
        Setting('seed', 0, 'of all random numbers: weights, order of the '
                'images, latent vectors, seeding of mixtures',
                type=command_line.seed, metavar='N'),
        shared_settings.use_ideep(),
        Setting('device', '@numpy', "Chainer's name for a device, such as "
                '@numpy or @cupy:0', CHANGE, metavar='DEVICE'),
        Setting('log_every', 100, 'updates between lines of the log; each '
                'distance makes one as well', CHANGE, type=positive_int,
                metavar='N'),
        Setting('snapshot_every', 1000, 'updates between snapshots', CHANGE,
                type=positive_int, metavar='N')]}


def _check_use(settings, given):
    normalizers.check_recipe(
        settings, given, experiment.RECIPES.get(settings['recipe'], {}))
    normalizers.check_use(settings, given, _LAYERS)
    for name in ('distance_every', 'n_samples'):
        if name in given and settings['features'] is None:
            raise UserError(f'{option(name)} goes with --features')


_PROG = 'python -m train.gan'
SETTINGS = Settings(_PROG, __doc__, 'run', experiment.RECIPES, _check_use,
                    _GROUPS)


def main(argv=None):
    """Trains as the command line says.

    Args:
        argv (list of str or None): The arguments; ``None`` for the process's.

    Returns:
        int: Exit status.

    """
    mixnorm.keep_memory()
    return command_line.exit_status(
        lambda: train(*SETTINGS.parse(argv)), _PROG)


def train(args, given):
    """Starts or resumes the run that parsed arguments describe.

    Args:
        args (argparse.Namespace): Where and how to run.
        given (dict): The settings that are given.

    Returns:
        int: Exit status.

    """
    if args.list_recipes:
        print(as_text(experiment.TABLES))
        return 0
    settings, arrays = start_or_resume(SETTINGS, args, given)
    command_line.use_ideep(settings['use_ideep'])
    device = command_line.get_device(settings['device'])
    images, labels, _ = task_sets.load(
        [settings['dataset']], settings['train_size'])[0]
    check_batch_size(settings['batch_size'], labels)
    features = None
    if settings['features'] is not None:
        features = load_features(settings['features'], device)
        check_sizes(settings['n_samples'], len(images), features)
        if args.resume:
            check_same_features(args.out, features)
    updater = _make_updater(settings, images, labels, device)
    schedule.tell(settings)
    return run_in_folder(
        updater, (schedule.scaled(settings)['iterations'], 'iteration'),
        functools.partial(_extend, settings, images, features),
        _reports(settings, images, features), settings, args.out, 'train.gan',
        arrays, args.progress)


def _seeds(settings):
    """Returns the seeds of what is drawn, each layer's mixtures last."""
    names = 'weights', 'order', 'latent', 'shown', 'compared'
    seeds = numpy.random.SeedSequence(settings['seed']).generate_state(
        len(names) + len(_LAYERS)).tolist()
    return dict(zip(names, seeds), layers=seeds[len(names):])


def _make_updater(settings, images, labels, device):
    seeds = _seeds(settings)
    # Chainer's initializers draw from the global generator.
    numpy.random.seed(seeds['weights'])
    generator = make_model(
        (settings['n_latent'],), Generator, settings['n_latent'],
        settings['width'], normalizers=normalizers.layer_normalizers(
            settings, _LAYERS, seeds['layers']))
    discriminator = Discriminator(settings['width'], in_channels=3)
    optimizers = []
    for model in (generator, discriminator):
        model.to_device(device)
        optimizers.append(chainer.optimizers.Adam(
            settings['lr'], *settings['betas']).setup(model))
    batches = BatchIterator(
        images, labels, settings['batch_size'],
        numpy.random.RandomState(seeds['order']),
        lambda images, random_state: samples.from_bytes(images))
    return AdversarialUpdater(
        batches, settings['n_latent'], *optimizers,
        numpy.random.RandomState(seeds['latent']), device)


def _extend(settings, images, features, trainer, length):
    generator = trainer.updater.get_optimizer('generator').target
    seeds = _seeds(settings)
    if importlib.util.find_spec('matplotlib') is None:
        print('no samples are drawn: matplotlib is not installed')
    else:
        trainer.extend(
            samples.SampleGrids(
                generator, settings['n_latent'], settings['batch_size'],
                seeds['shown']),
            trigger=Every(length, settings['samples_every']))
    if features is not None:
        trainer.extend(
            Distances(generator, settings['n_latent'], features, images,
                      settings['n_samples'], settings['batch_size'],
                      seeds['compared']),
            trigger=Every(length, settings['distance_every']),
            priority=extension.PRIORITY_WRITER)


def _reports(settings, images, features):
    columns = [
        ('iteration', 'iteration', 'd'),
        ('generator', 'generator/loss', '.4f'),
        ('discriminator', 'discriminator/loss', '.4f'),
        ('real', 'discriminator/real', '.4f'),
        ('generated', 'discriminator/generated', '.4f')]
    details = {}
    if features is None:
        log_settings = 'log_every',
    else:
        log_settings = 'log_every', 'distance_every'
        columns += [
            (features.name, features.key, '.3f'), ('KID', 'kid', '.5f'),
            ('density', 'density', '.4f'), ('coverage', 'coverage', '.4f')]
        details['features'] = {
            'file': features.path, 'sha256': features.sha256,
            'distance': features.key, 'n_dimensions': features.n_dimensions,
            'n_samples': settings['n_samples'], 'n_real': len(images)}
    return Reports(
        log_settings, columns + [('seconds', 'elapsed_time', '.1f')],
        functools.partial(Curves, draw=curves.draw),
        functools.partial(_print_result, settings, features), details)


def _print_result(settings, features, log, folder):
    # None if the run had ended before --features was given.
    distances = [] if features is None else [
        (entry[features.key], entry['iteration'])
        for entry in log if features.key in entry]
    if distances:
        lowest, iteration = min(distances)
        print(f'lowest {features.name} {lowest:.3f} at iteration '
              f"{iteration}, n {settings['n_samples']:,}; ", end='')
    print(f'everything is in {folder}')


if __name__ == '__main__':
    sys.exit(main())
