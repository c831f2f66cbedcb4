"""What is measured of a trained classifier beside its test."""

import copy

import mixnorm  # NOQA  (makes Chainer importable, so it comes first)
import chainer
import numpy

from train.run_model import layer_inputs


def accuracy_by_own_statistics(classifier, batches):
    """Computes the accuracy with each test batch's own statistics.

    Nothing lags behind the weights then: it tells how well a model is
    optimized, in a manner that only serves to compare.

    Args:
        classifier (~chainer.links.Classifier): The model, which stays as it
            is.
        batches (iterable): Pairs of images and labels, in random order.

    Returns:
        float: The accuracy.

    """
    model = copy.deepcopy(classifier.predictor)
    n_right = n_images = 0
    with chainer.no_backprop_mode(), chainer.using_config('train', True):
        for images, labels in batches:
            found = model(model.device.send(images)).array.argmax(axis=1)
            n_right += int((found == model.device.send(labels)).sum())
            n_images += len(labels)
    return n_right / n_images


def output_noise(model, path, batches):
    r"""Computes how much a layer's output depends on the mini-batch.

    A probe, the first mini-batch, is normalized in test mode by the
    statistics of one mini-batch after another:

    .. math::

        \sqrt{\frac{\sum_t \| y_{t+1} - y_t \|^2}{\sum_t \| y_t \|^2}}

    Args:
        model (~chainer.Link): The network, which stays as it is.
        path (str): Path of a normalization layer with inference statistics.
        batches (iterable of arrays): Three or more mini-batches of images.

    Returns:
        float: 0 if all mini-batches give the same output.

    """
    link = dict(model.namedlinks())[path]
    probe, *others = layer_inputs(model, {path: link}, batches)[path]
    link = copy.deepcopy(link)
    moved = total = 0
    last = None
    with chainer.no_backprop_mode():
        for x in others:
            link.start_finetuning()
            with chainer.using_config('train', True):
                link(x, finetune=True)
            with chainer.using_config('train', False):
                y = link(probe).array
            if last is not None:
                moved += float(((y - last) ** 2).sum(dtype=numpy.float64))
                total += float((last ** 2).sum(dtype=numpy.float64))
            last = y
    return (moved / total) ** .5
