"""Training steps of links on the recorded CuPy; see ``recorded_cupy``.

As a script, it prints what each step of each link asks of a GPU, and how long
the host takes over a step if all kernels are done at once:

    python -m compute_tests.recorded_steps

in the folder ``tests``.  Chainer finds a CuPy only where there is one when it
is imported, so that this takes a process of its own.
"""
import collections
import functools
import json
import os
import statistics
import sys
import time

_HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(_HERE, 'recorded_cupy'))

import cupy  # NOQA
import mixnorm  # NOQA

import chainer  # NOQA
from chainer import links as L  # NOQA
import numpy  # NOQA

from mixnorm.compute import gpu  # NOQA

# All arrays are on one of two GPUs, while the other is the current one.
_DEVICE = 1

_AT_ONCE = gpu.fit.at_once
_SEVERAL = 'mixture, in several launches'

LINKS = {
    'batch': (L.BatchNormalization, {}),
    'mixture': (mixnorm.links.MixtureNormalization, {'seed': 0}),
    _SEVERAL: (
        mixnorm.links.MixtureNormalization, {'seed': 0}),
    'mixture, warm start': (
        mixnorm.links.MixtureNormalization, {'seed': 0, 'warm_start': True}),
    'mixture, affine by component': (
        mixnorm.links.MixtureNormalization,
        {'seed': 0, 'affine': 'component'}),
    'mode': (mixnorm.links.ModeNormalization, {}),
    'mode, by channel': (mixnorm.links.ModeGroupNormalization, {}),
}


def send(array):
    """Copies an array to the GPU."""
    with cupy.cuda.Device(_DEVICE):
        return cupy.asarray(array)


def _never(*args):
    """Has a fit made in several launches."""


class Steps:

    """Training steps of a link: forward, and back to input and parameters.

    Args:
        name (str): One of ``LINKS``.
        x (numpy.ndarray): The input.
        gy (numpy.ndarray): Gradient of the output.

    """

    def __init__(self, name, x, gy):
        kind, options = LINKS[name]
        cupy.get_default_memory_pool().free_all_blocks()
        self._fit_at_once = _never if name == _SEVERAL else _AT_ONCE
        numpy.random.seed(0)  # for the noise of gates
        self.link = kind(x.shape[1], **options)
        self.link.to_device(f'@cupy:{_DEVICE}')
        self.x = chainer.Variable(send(x))
        self._gy = send(gy)

    def run(self):
        """Runs a step; returns the output."""
        gpu.fit.at_once = self._fit_at_once
        self.link.cleargrads()
        self.x.cleargrad()
        y = self.link(self.x)
        y.grad = self._gy
        y.backward()
        return y

    def count(self):
        """Runs a step; returns how many operations of each kind it made."""
        cupy.recorder.counts.clear()
        self.run()
        return _by_kind()


def _by_kind():
    total = collections.Counter()
    for (kind, _), n in cupy.recorder.counts.items():
        total[kind] += n
    return total


def run_kernels(libraries):
    """Has the kernels run on the CPU, by what ``cuda_on_cpu`` built."""
    from compute_tests import cuda_on_cpu
    from mixnorm.compute.gpu.launcher import TYPES
    emulator = cuda_on_cpu.Emulator(libraries)
    names = {f'-DMIXNORM_INPUT={word}': name for name, word in TYPES.items()}

    def run(options, name, grid, shared_bytes, arguments, cooperative):
        dtype, = (names[option] for option in options if option in names)
        emulator.launch(None, name, numpy.dtype(dtype), grid, shared_bytes,
                        arguments, cooperative)

    cupy.recorder.run = run


def _random(shape, seed):
    random = numpy.random.RandomState(seed)
    group = random.randint(3, size=(shape[0], 1) + shape[2:])
    return (random.randn(*shape) + 3 * group).astype('f')


def count_steps(shape=(256, 128, 8, 8), n_steps=4):
    """Returns what each of some steps of each link asks for, by name."""
    x, gy = _random(shape, 0), _random(shape, 1)
    counts = {}
    for name in LINKS:
        steps = Steps(name, x, gy)
        counts[name] = [dict(steps.count()) for _ in range(n_steps)]
        del steps  # before the pool is emptied for the next
    return counts


def count_test_mode(shape=(256, 128, 8, 8), n_batches=11):
    """Returns what a pass in test mode asks for, by name: a first one after
    training and the next one."""
    x, batch = _random(shape, 0), _random((16, shape[1], 2, 2), 1)
    counts = {}
    for name, (kind, options) in LINKS.items():
        link = kind(shape[1], **options)
        for _ in range(n_batches):
            link(batch)
        link.to_device(f'@cupy:{_DEVICE}')
        sent = send(x)
        counts[name] = []
        with chainer.using_config('train', False), chainer.no_backprop_mode():
            for _ in range(2):
                cupy.recorder.counts.clear()
                link(sent)
                counts[name].append(dict(_by_kind()))
    return counts


def outputs(shape=(16, 5, 4, 4), n_steps=2):
    """Returns outputs and gradients of the last step of each link."""
    x, gy = _random(shape, 0), _random(shape, 1)
    found = {}
    for name in LINKS:
        if name == 'batch':
            continue
        steps = Steps(name, x, gy)
        for _ in range(n_steps):
            y = steps.run()
        found[name] = [z.get().tolist() for z in (
            y.array, steps.x.grad, steps.link.gamma.grad,
            steps.link.beta.grad)]
    return found


def count_elsewhere():
    """Returns what else touched arrays of another device, by what did it."""
    found = {}

    def check(name, function, *args, **kwargs):
        cupy.recorder.counts.clear()
        result = function(*args, **kwargs)
        found[name] = [list(key) for key in cupy.recorder.counts
                       if key[0] == 'strays']
        return result

    x = _random((16, 8, 4, 4), 0)
    for name, (kind, options) in {
            **LINKS, 'samples': (
                mixnorm.links.MixtureNormalization,
                {'seed': 0, 'inference': 'samples'}),
            'activation': (
                mixnorm.links.MixtureNormalization,
                {'seed': 0, 'activation': chainer.functions.relu}),
            'k-means||': (
                mixnorm.links.MixtureNormalization,
                {'seed': 0, 'seeding': 'k-means||'}),
            'by sample': (
                functools.partial(
                    mixnorm.links.GroupMixtureNormalization, 2),
                {'seed': 0}),
            'renormalization': (mixnorm.links.BatchRenormalization, {}),
            'batch and instance': (
                mixnorm.links.BatchInstanceNormalization, {}),
    }.items():
        link = kind(x.shape[1], **options)
        link.to_device(f'@cupy:{_DEVICE}')
        sent = send(x)

        def run():
            y = link(sent)
            y.grad = sent
            y.backward()
            if hasattr(link, 'inference_moments'):
                link.set_inference_moments(*link.inference_moments())
            with chainer.using_config('train', False):
                link(sent)

        check(name, run)
    points = send(x.transpose(0, 2, 3, 1).reshape(-1, x.shape[1]))
    mixture = check(
        'fit', mixnorm.mixture.DiagonalGaussianMixture(
            2, sample_ratio=.5, random_state=0).fit, points)
    for name in ('predict', 'predict_proba', 'score_samples', 'score', 'bic'):
        check(name, getattr(mixture, name), points)
    check('sample', mixture.sample, 5)
    check('fit to blocks', mixture.fit, [points, points])
    check('coreset', mixnorm.mixture.coreset, points, 20, random_state=0)
    check('kmeans_plusplus', mixnorm.mixture.kmeans_plusplus, points, 3,
          random_state=0)
    return found


def time_steps(shape=(256, 128, 8, 8), n_steps=100):
    """Returns the median of the host's processor seconds for a step of each,
    by turns."""
    x, gy = _random(shape, 0), _random(shape, 1)
    steps = {name: Steps(name, x, gy) for name in LINKS}
    cupy.recorder.memory = numpy.zeros(8 * x.size, numpy.uint8)
    seconds = {name: [] for name in LINKS}
    for _ in range(n_steps):
        for name in LINKS:
            start = time.process_time()
            steps[name].run()
            seconds[name].append(time.process_time() - start)
    cupy.recorder.memory = None
    return {name: statistics.median(z) for name, z in seconds.items()}


def main():
    counts, in_test_mode = count_steps(), count_test_mode()
    seconds = time_steps()
    for name in LINKS:
        print(f'{name:<30} {counts[name][-1]}, in test mode '
              f'{in_test_mode[name][-1]}  '
              f'{1e3 * seconds[name]:.2f} ms on the host, '
              f"{seconds[name] / seconds['batch']:.2f} x batch's")


if __name__ == '__main__':
    if len(sys.argv) == 1:
        main()
    else:
        # For the tests: libraries in, counts and outputs out.
        found = {'counts': count_steps(), 'test mode': count_test_mode()}
        run_kernels(json.loads(sys.argv[1]))
        found['outputs'] = outputs()
        found['elsewhere'] = count_elsewhere()
        json.dump(found, sys.stdout)
