"""Exports the network of a run of train.classifier to ONNX, for test mode.

    python -m tools.export result/digits/mixture/seed-0 --out digits.onnx

A run is its folder, or the snapshot in it. The file is written once its scores
of test images are found to be Chainer's, in onnxruntime or, where that is not
installed, in ONNX's reference evaluator.
"""
import argparse
import importlib
import json
import os
import sys

import mixnorm
import chainer
import numpy

from mixnorm.files import replacing
from train import command_line
from train.command_line import one_line, positive_int, UserError
from train.loop import run_folder
from train.run_model import load_run

# As in setup.cfg.
_LEAST_VERSIONS = {'onnx': (1, 15), 'onnxruntime': (1, 17)}

# Of scores, in units of the greatest of them or of 1.
_TOLERANCE = 1e-4

_BATCH_SIZE = 100


def main(argv=None):
    """Exports what the command line names.

    Args:
        argv (list of str or None): The arguments; ``None`` for the process's.

    Returns:
        int: Exit status.

    """
    mixnorm.keep_memory()
    parser = command_line.ArgumentParser(
        prog='python -m tools.export', description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('run', metavar='RUN',
                        help='its folder, or its snapshot')
    parser.add_argument('--out', metavar='FILE', required=True,
                        help='file to write')
    parser.add_argument(
        '--images', metavar='N', type=positive_int, default=1000,
        help='test images to compare scores of, from the first (default: '
        '%(default)s)')
    args = parser.parse_args(argv)
    return command_line.exit_status(lambda: _run(args), parser.prog)


def _run(args):
    if _import('onnx') is None:
        raise UserError(
            'exporting needs the package onnx: pip install mixnorm[onnx]')
    if os.path.isdir(args.out):
        raise UserError(f'--out {args.out} is a folder: name a file')
    run = load_run(args.run)
    snapshot = args.run
    if os.path.isdir(snapshot):
        snapshot = os.path.join(snapshot, run_folder.SNAPSHOT)
    if os.path.exists(args.out) and os.path.samefile(args.out, snapshot):
        raise UserError(f"--out {args.out} is the run's snapshot: name "
                        'another file')
    exported = export(run.model, run.test.images[:2], run.settings)
    images, labels = (z[:args.images] for z in (
        run.test.images, run.test.labels))
    name, evaluate = make_evaluator(exported)
    expected = _in_batches(lambda x: _score(run.model, x).array, images)
    found = _in_batches(evaluate, images)
    difference = abs(found - expected).max()
    print(f'largest difference of scores: {difference:.1e}, of scores up to '
          f'{abs(expected).max():.3g}')
    accuracies = (
        f'{(scores.argmax(axis=1) == labels).mean():.4f} in {where}'
        for where, scores in (('Chainer', expected), (name, found)))
    print(f"accuracy on {len(images)} test images: {', '.join(accuracies)}")
    # Not ">": of what is not a number neither is true.
    if not difference <= _TOLERANCE * max(1, abs(expected).max()):
        raise UserError(
            f"{args.out} is not written: {name}'s scores are not Chainer's")
    os.makedirs(os.path.dirname(args.out) or '.', exist_ok=True)
    with replacing(args.out, 'wb') as file:
        file.write(exported.SerializeToString())
    print(f'written: {args.out}')
    return 0


def export(model, images, settings):
    """Exports a network for test mode.

    Args:
        model (~chainer.Link): The network, from images to scores.
        images (numpy.ndarray): A few images ``(N, C, H, W)``, to trace it
            with.
        settings (dict): What is known of it; written into the file as JSON.

    Returns:
        onnx.ModelProto: Its input ``images`` and its output ``scores`` take
        any number of images.

    Raises:
        UserError: If the network, or one of its layers, which it names,
            cannot be exported.

    """
    from onnx import helper
    import onnx_chainer
    with _CurrentLink() as current:
        try:
            shape = _score(model, images).shape[1:]
            exported = onnx_chainer.export(
                model, images, graph_name=type(model).__name__,
                input_names='images', output_names='scores',
                input_shapes=('batch',) + images.shape[1:])
        except (NotImplementedError, RuntimeError, ValueError) as error:
            where = current.path(model)
            raise UserError(f'{where}: {one_line(error)}' if where
                            else one_line(error))
    # Parameters that a caller could give as inputs are no constants to
    # runtimes, which then optimize less.
    inputs = [value for value in exported.graph.input
              if value.name == 'images']
    del exported.graph.input[:]
    exported.graph.input.extend(inputs)
    # ONNX's inference does not know what of the shape does not change.
    output, = exported.graph.output
    output.CopyFrom(helper.make_tensor_value_info(
        'scores', output.type.tensor_type.elem_type, ('batch',) + shape))
    helper.set_model_props(exported, {'settings': json.dumps(settings)})
    return exported


class _CurrentLink(chainer.LinkHook):

    """Knows the links whose calls have not returned."""

    name = 'CurrentLink'

    def __init__(self):
        super().__init__()
        self._links = []

    def forward_preprocess(self, args):
        self._links.append(args.link)

    def forward_postprocess(self, args):
        self._links.pop()

    def path(self, model):
        """Returns the path of the innermost; ``None`` if all returned."""
        return next((path for path, link in model.namedlinks()
                     if self._links and link is self._links[-1]), None)


def make_evaluator(exported):
    """Returns what computes an exported network's scores.

    Args:
        exported (onnx.ModelProto): Of :func:`export`.

    Returns:
        tuple: Its name with its version, and a function from images to
        scores, both arrays.

    Raises:
        UserError: If a runtime is installed that is too old.

    """
    runtime = _import('onnxruntime')
    if runtime is None:
        from onnx import reference
        session = reference.ReferenceEvaluator(exported)
        name = "ONNX's reference evaluator"
    else:
        session = runtime.InferenceSession(
            exported.SerializeToString(),
            providers=['CPUExecutionProvider'])
        name = f'onnxruntime {runtime.__version__}'
    return name, lambda images: session.run(None, {'images': images})[0]


def _import(name):
    """Imports a package, if it is recent enough; ``None`` if it is missing."""
    try:
        module = importlib.import_module(name)
    except ImportError:
        return None
    version = tuple(map(int, module.__version__.split('.')[:2]))
    if version < _LEAST_VERSIONS[name]:
        raise UserError(
            f'{name} {module.__version__} is too old: pip install -U '
            'mixnorm[onnx]')
    return module


def _score(model, images):
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        return model(images)


def _in_batches(function, images):
    return numpy.concatenate([
        function(images[i:i + _BATCH_SIZE])
        for i in range(0, len(images), _BATCH_SIZE)])


if __name__ == '__main__':
    sys.exit(main())
