"""Every recipe trains."""

import json
import sys
import types

import mixnorm  # NOQA  (makes Chainer importable, so it comes first)
import chainer.links as L
import numpy
import pytest

from models import inception_v3
from models.blocks import Conv2DNormReLU
from train import classifier
from train import gan
from train import multitask
from train.data.datasets import Images
from train.data.task_sets import Union
from train.experiments import gan as gan_experiment
from train.experiments import mixture_paper
from train.experiments import mode_paper


# What is too slow for a test, in place of the recipe's own.
_SMALLER = {
    'cnn': '--widths 4 4 4 8', 'densenet': '--depth 10',
    'resnet-cifar': '--depth 8', 'inception-v3': '', 'nin': '', 'vgg13': '',
    # Its images are in files.
    'resnet18': '--dataset cifar10'}

_CLASSIFIERS = {
    **mixture_paper.RECIPES, **mode_paper.CLASSIFIER_RECIPES}


def _images(n, n_classes, side):
    random = numpy.random.RandomState(0)
    return (random.normal(size=(n, 3, side, side)).astype('f'),
            (numpy.arange(n) % n_classes).astype('i'))


@pytest.fixture
def narrow(monkeypatch):
    """Gives Inception-V3 a sixteenth of its widths."""
    def convolution(in_channels, out_channels, *args, **kwargs):
        if in_channels > 3:
            in_channels //= 16
        return Conv2DNormReLU(in_channels, out_channels // 16, *args, **kwargs)

    monkeypatch.setattr(inception_v3, 'Conv2DNormReLU', convolution)
    monkeypatch.setattr(inception_v3, 'L', types.SimpleNamespace(
        Linear=lambda n, n_classes: L.Linear(n // 16, n_classes)))


@pytest.fixture(autouse=True)
def _without_curves(monkeypatch):
    # They take longer than all the rest.
    monkeypatch.setitem(sys.modules, 'matplotlib', None)


def _check_log(path):
    log = json.loads(path.read_text())
    assert log[-1]['iteration'] == 3
    for entry in log:
        assert numpy.isfinite(entry['main/loss'])


@pytest.mark.parametrize('name', sorted(_CLASSIFIERS))
def test_recipe_with_one_set(name, narrow, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(
        classifier.datasets, 'load',
        lambda dataset, *args: tuple(Images(*_images(n, 10, 16))
                                     for n in (12, 4)))
    folder = tmp_path / 'run'
    assert classifier.main([
        '--recipe', name, *_SMALLER[_CLASSIFIERS[name]['network']].split(),
        '--batch-size', '4', '--iterations', '3', '--log-every', '1',
        # Networks so narrow do not stand all of the recipes' rates.
        '--lr', '.001', '--out', str(folder)]) == 0
    _check_log(folder / 'log')
    settings = json.loads((folder / 'run.json').read_text())['settings']
    assert settings['recipe'] == name


@pytest.mark.parametrize('name', sorted(mode_paper.MULTITASK_RECIPES))
def test_recipe_with_several_sets(name, monkeypatch, tmp_path, capsys):
    images, labels = _images(24, 40, 32)
    part = Union((100 + 20 * images).astype(numpy.uint8), labels,
                 (numpy.arange(24) % 4).astype('i'))
    monkeypatch.setattr(
        multitask.task_sets, 'load', lambda *args: (part, part))
    folder = tmp_path / 'series'
    assert multitask.main([
        '--recipe', name, '--seeds', '0', '--batch-size', '6',
        '--iterations', '3', '--log-every', '1', '--out', str(folder)]) == 0
    _check_log(folder / 'seed-0' / 'log')
    description = json.loads((folder / 'series.json').read_text())
    assert description['settings']['recipe'] == name


@pytest.mark.parametrize('name', sorted(gan_experiment.RECIPES))
def test_recipe_with_a_generator(name, monkeypatch, tmp_path, capsys):
    images, labels = _images(12, 10, 32)
    part = Union((100 + 20 * images).astype(numpy.uint8), labels,
                 numpy.zeros(12, 'i'))
    monkeypatch.setattr(gan.task_sets, 'load', lambda *args: (part, part))
    folder = tmp_path / 'run'
    assert gan.main([
        '--recipe', name, '--width', '8', '--batch-size', '6',
        '--iterations', '3', '--log-every', '1', '--out', str(folder)]) == 0
    log = json.loads((folder / 'log').read_text())
    assert [entry['iteration'] for entry in log] == [1, 2, 3]
    for entry in log:
        assert all(map(numpy.isfinite, entry.values()))
    settings = json.loads((folder / 'run.json').read_text())['settings']
    assert settings['recipe'] == name
