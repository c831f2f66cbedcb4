"""Measures what mixture normalization and mode normalization cost.

    python tools/benchmark.py [--device @cupy:0] [--only layer fit ...]

Prints ratios, never bare times: the two sides of a ratio are measured by
turns in one process, and the ratio is the median over the pairs. Beside it
stands how many pages of memory the system gave each side in a call. Writes all
of them as JSON, with the machine, the versions and the thread counts, and a
plot of how time grows.
"""

import argparse
import ctypes
import gc
import json
import multiprocessing
import os
import platform
import resource
import statistics
import sys
import time
import tracemalloc

if __name__ == '__main__':
    # Started as a script, it finds only its own folder by itself.
    sys.path.insert(0, os.path.dirname(os.path.dirname(
        os.path.abspath(__file__))))
    # While OpenBLAS's threads wait for another product they hold their cores,
    # for 2^26 cycles by default; mixture normalization's threads need them.
    os.environ.setdefault('OPENBLAS_THREAD_TIMEOUT', '16')

import mixnorm
import chainer
import chainer.functions as F
import chainer.links as L
import numpy

from models.cifar_cnn import CifarCNN
from train import command_line
from train.run import get_device

_libc = ctypes.CDLL(None)


class Bench:

    """Where and how long to measure.

    Args:
        device (chainer.backend.Device): Where.
        seconds (float): How long to measure a pair.

    Attributes:
        rows (list of dict): What was measured.
        growth (dict or None): How time and memory grow, by what.

    """

    def __init__(self, device, seconds):
        self.device = device
        self.seconds = seconds
        self.rows = []
        self.growth = None

    def activation(self, shape, n_modes=3, seed=0):
        """Makes a rectified mixture, float32, on the device."""
        random = numpy.random.RandomState(seed)
        modes = random.randn(n_modes, shape[1])
        labels = random.randint(n_modes, size=shape[:1] + shape[2:])
        x = random.randn(*shape) + numpy.moveaxis(modes[labels], -1, 1)
        return self.device.send(numpy.maximum(x, 0).astype(numpy.float32))

    def _time(self, function):
        self._wait()
        start = time.perf_counter()
        function()
        self._wait()
        return time.perf_counter() - start

    def _measure(self, function, given_back):
        """Returns seconds, and how many pages of memory the system gave."""
        if given_back:
            _libc.malloc_trim(0)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        seconds = self._time(function)
        return seconds, resource.getrusage(
            resource.RUSAGE_SELF).ru_minflt - before

    def _wait(self):
        if self.device.xp is not numpy:
            self.device.xp.cuda.get_current_stream().synchronize()

    def compare(self, section, what, against, ours, theirs, note='',
                given_back=False):
        """Measures two functions by turns.

        Args:
            section (str): Which part of the table the row is in.
            what (str): What is measured.
            against (str): What it is measured against.
            ours (callable): Does the first once.
            theirs (callable): Does the second once.
            note (str): What else to print.
            given_back (bool): Whether the C library returns unused memory to
                the system before each call, as it does now and then where
                other layers take and leave theirs.

        Returns:
            float: Median of the ratios of times.

        """
        for function in (ours, theirs, ours, theirs):
            function()
        gc.collect()
        pairs = []
        end = time.perf_counter() + self.seconds
        while len(pairs) < 5 or (
                time.perf_counter() < end and len(pairs) < 1000):
            pairs.append((self._measure(ours, given_back),
                          self._measure(theirs, given_back)))
        ratios = [a / b for (a, _), (b, _) in pairs]
        ratio = statistics.median(ratios)
        low, _, high = statistics.quantiles(ratios, n=4)
        # Pages that the system has to give anew cost about as much as a pass
        # over them, and whether it has to is the C library's affair.
        pages = [round(statistics.median(side[1] for side in sides))
                 for sides in zip(*pairs)]
        self.rows.append({
            'section': section, 'what': what, 'against': against,
            'ratio': ratio, 'quartiles': [low, high], 'pairs': len(pairs),
            'given_back': given_back, 'pages': pages, 'note': note})
        print('{:<10} {:<44} {:<27} {:7.3f}  ({:.3f} to {:.3f})  '
              '{:>5} {:>5}  {}'.format(
                  section, what, against, ratio, low, high, *pages,
                  note).rstrip(), flush=True)
        return ratio

    def shortest(self, function):
        """Returns the shortest time of a function, in seconds."""
        function()
        times = []
        end = time.perf_counter() + self.seconds
        while len(times) < 3 or (
                time.perf_counter() < end and len(times) < 100):
            times.append(self._time(function))
        return min(times)


def forward_and_backward(link, x):
    """Returns a function that runs both passes of a link once."""
    gy = link.device.send(
        numpy.random.RandomState(1).randn(*x.shape).astype(numpy.float32))

    def run():
        v = chainer.Variable(x)
        y = link(v)
        y.grad = gy
        y.backward()
    return run


def bench_layer(bench):
    """Forward and backward pass, fit included."""
    cases = [((256, 128, 8, 8), k, 2, False) for k in range(1, 9)]
    if bench.device.xp is numpy and hasattr(_libc, 'malloc_trim'):
        cases += [((256, 128, 8, 8), k, 2, True) for k in (3, 8)]
    cases += [((256, 128, 8, 8), 3, n_iter, False) for n_iter in (4, 8)]
    cases += [(shape, 3, 2, False) for shape in (
        (256, 64, 8, 8), (256, 256, 8, 8), (256, 448, 8, 8), (64, 128, 8, 8),
        (256, 64, 16, 16), (128, 64, 32, 32), (16384, 128))]
    for shape, n_components, n_iter, given_back in cases:
        x = bench.activation(shape)
        ours = mixnorm.links.MixtureNormalization(
            shape[1], n_components, n_iter, seed=0)
        theirs = L.BatchNormalization(shape[1])
        for link in (ours, theirs):
            link.to_device(bench.device)
        bench.compare(
            'layer', f"mixture {'x'.join(map(str, shape))}, K {n_components}, "
                     f'EM iter. {n_iter}',
            'L.BatchNormalization',
            forward_and_backward(ours, x), forward_and_backward(theirs, x),
            'memory given back in between' if given_back else '', given_back)


def torch_forward_and_backward(x):
    """Returns what runs both passes of PyTorch's BatchNorm2d once.

    Args:
        x (numpy.ndarray): Input ``(N, C, H, W)``.

    Raises:
        ImportError: If PyTorch is not installed.

    """
    import torch

    layer = torch.nn.BatchNorm2d(x.shape[1])
    points, gy = (torch.from_numpy(z.copy()) for z in (
        x, numpy.random.RandomState(1).randn(*x.shape).astype(x.dtype)))

    def run():
        layer(points.detach().requires_grad_()).backward(gy)
    return run


def bench_modes(bench):
    """Forward and backward pass of mode normalization."""
    shape = (256, 128, 8, 8)
    x = bench.activation(shape)
    batch = L.BatchNormalization(shape[1])
    group = L.GroupNormalization(1, shape[1])
    for link in (batch, group):
        link.to_device(bench.device)
    against = [('L.BatchNormalization', forward_and_backward(batch, x))]
    if bench.device.xp is numpy:
        try:
            against.append((
                "PyTorch's BatchNorm2d", torch_forward_and_backward(x)))
        except ImportError:
            print('modes      PyTorch is not installed: not compared')

    def compare(name, kind, rivals):
        for n_modes in (2, 4, 6):
            ours = kind(shape[1], n_modes)
            ours.to_device(bench.device)
            for rival, theirs in rivals:
                bench.compare(
                    'modes', f"{name} {'x'.join(map(str, shape))}, K "
                             f'{n_modes}', rival,
                    forward_and_backward(ours, x), theirs)

    compare('mode', mixnorm.links.ModeNormalization, against)
    compare('mode group', mixnorm.links.ModeGroupNormalization, [
        ('L.GroupNormalization', forward_and_backward(group, x))])


def bench_inference(bench):
    """Test mode; the mixture's queue is full."""
    for n_components in (3, 8):
        shape = (256, 128, 8, 8)
        x = bench.activation(shape)
        ours = mixnorm.links.MixtureNormalization(
            shape[1], n_components, seed=0)
        theirs = L.BatchNormalization(shape[1])
        for link in (ours, theirs):
            link.to_device(bench.device)
            for seed in range(ours.queue_size):
                link(bench.activation(shape, seed=seed))
        with chainer.using_config('train', False), chainer.no_backprop_mode():
            bench.compare(
                'inference', f"mixture {'x'.join(map(str, shape))}, K "
                             f'{n_components}, T {ours.queue_size}',
                'L.BatchNormalization',
                lambda: ours(x), lambda: theirs(x))
    modes = mixnorm.links.ModeNormalization(shape[1], 2)
    modes.to_device(bench.device)
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        bench.compare(
            'inference', f"mode {'x'.join(map(str, shape))}, K 2",
            'L.BatchNormalization', lambda: modes(x), lambda: theirs(x))


def bench_output(bench):
    """The output, its posterior and statistics given, against a copy."""
    for shape in ((256, 128, 8, 8), (256, 64, 32, 32)):
        x = bench.activation(shape)
        link = mixnorm.links.MixtureNormalization(shape[1], 3, seed=0)
        link.to_device(bench.device)
        link(x)
        weights, means, variances = (z[0] for z in link.queue)
        mixture = mixnorm.mixture.DiagonalGaussianMixture(
            3, weights_init=weights, means_init=means,
            covariances_init=variances + 1e-3, max_iter=1, tol=0).fit(x)
        posterior = mixture.predict_proba(x)
        statistics = mixnorm.mixture.Parameters(weights, means, variances)
        gamma, beta = link.gamma.array, link.beta.array

        def ours():
            with chainer.no_backprop_mode():
                mixnorm.functions.mixture_normalization(
                    x, gamma, beta, posterior, statistics=statistics)

        ratio = bench.compare(
            'output', f"mixture {'x'.join(map(str, shape))}, K 3",
            'copy of the input', ours, lambda: x.copy())
        print(
            f"{'':<10} its bytes/s are "
            f'{(2 * x.nbytes + posterior.nbytes) / (2 * x.nbytes) / ratio:.0%}'
            " of the copy's")


def plain_fit(xp, X, n_components, uniform):
    """Fits as the library does, in array operations as one writes them down.

    Args:
        xp (module): NumPy or CuPy.
        X (array): Points ``(M, C)``.
        n_components (int): Number of components ``K``.
        uniform (numpy.ndarray): Uniform numbers, ``(K, n_trials)``.

    Returns:
        tuple of arrays: Weights, means and variances after K-means++, one of
        Lloyd's iterations and one of EM.

    """
    def squared_distances(centers):
        return xp.stack([((X - c) ** 2).sum(axis=1) for c in centers])

    def moments(tau):
        counts = tau.sum(axis=1)
        means = tau @ X / counts[:, None]
        variances = xp.stack([
            t @ (X - m) ** 2 for t, m in zip(tau, means)]) / counts[:, None]
        return counts / len(X), means, variances + 1e-6

    centers = [X[int(uniform[0, 0] * len(X))]]
    closest = squared_distances(centers)[0]
    for draws in uniform[1:]:
        cumulative = xp.cumsum(closest)
        candidates = X[xp.searchsorted(
            cumulative, xp.asarray(draws) * cumulative[-1])]
        remaining = xp.minimum(closest, squared_distances(candidates))
        best = int(remaining.sum(axis=1).argmin())
        centers.append(candidates[best])
        closest = remaining[best]
    labels = squared_distances(centers).argmin(axis=0)
    weights, means, variances = moments(
        (labels == xp.arange(n_components)[:, None]).astype(X.dtype))
    joint = xp.stack([
        xp.log(w) - .5 * ((X - m) ** 2 / v + xp.log(v)).sum(axis=1)
        for w, m, v in zip(weights, means, variances)])
    tau = xp.exp(joint - joint.max(axis=0))
    return moments(tau / tau.sum(axis=0))


def bench_fit(bench):
    """A fit, against scikit-learn's on the CPU."""
    import warnings
    from sklearn.mixture import GaussianMixture

    X = bench.activation((16384, 128))
    host = chainer.get_device('@numpy').send(X)

    def fit_theirs(seed=0):
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # It has not converged.
            return GaussianMixture(
                3, covariance_type='diag', init_params='k-means++',
                max_iter=2, tol=0, random_state=seed).fit(host)

    def fit_ours(sample_ratio, seed=0):
        return mixnorm.mixture.DiagonalGaussianMixture(
            3, kmeans_iter=1, max_iter=1, tol=0, sample_ratio=sample_ratio,
            random_state=seed).fit(X)

    # Both end in local optima, whose choice is a matter of luck.
    seeds = range(20)
    their_score = statistics.median(
        fit_theirs(seed).score(host) for seed in seeds)
    for sample_ratio in (1., .25):
        our_score = statistics.median(
            fit_ours(sample_ratio, seed).score(X) for seed in seeds)
        bench.compare(
            'fit', f'16384x128, K 3, 1 + 1 iterations, {sample_ratio:g} of '
                   'points', 'scikit-learn, 2 iterations',
            lambda: fit_ours(sample_ratio), fit_theirs, _gain(
                our_score, their_score,
                f', medians of {len(seeds)} seeds'))

    uniform = numpy.random.RandomState(0).rand(3, 3)
    bench.compare(
        'fit', '16384x128, K 3, 1 + 1 iterations, all points',
        'plain array operations', lambda: fit_ours(1.),
        lambda: plain_fit(bench.device.xp, X, 3, uniform))

    def ours_to_the_end():
        return mixnorm.mixture.DiagonalGaussianMixture(
            3, random_state=0).fit(X)

    def theirs_to_the_end():
        return GaussianMixture(
            3, covariance_type='diag', random_state=0).fit(host)

    bench.compare(
        'fit', '16384x128, K 3, to convergence', 'scikit-learn, its defaults',
        ours_to_the_end, theirs_to_the_end, _gain(
            ours_to_the_end().score(X), theirs_to_the_end().score(host)))


def _gain(ours, theirs, note=''):
    return f'log-likelihood {100 * (ours - theirs) / abs(theirs):+.3f} %{note}'


def bench_network(bench):
    """Training steps of the CIFAR network: the rows of table VII."""
    batch_size = 64 if bench.device.xp is numpy else 256
    random = numpy.random.RandomState(0)
    x = bench.device.send(
        random.randn(batch_size, 3, 32, 32).astype(numpy.float32))
    t = bench.device.send(random.randint(10, size=batch_size).astype('i'))

    def step(normalizers):
        numpy.random.seed(0)
        model = CifarCNN(10, 3, normalizers=normalizers)
        model.to_device(bench.device)
        optimizer = chainer.optimizers.RMSprop(lr=.001, alpha=.9)
        optimizer.setup(model)

        def run():
            loss = F.softmax_cross_entropy(model(x), t)
            model.cleargrads()
            loss.backward()
            optimizer.update()
        return run

    for layers, n_iter in (
            (['conv3'], 2), (['conv3'], 4), (['conv3'], 8), (['conv2'], 2),
            (['conv2', 'conv3'], 2)):
        bench.compare(
            'network', f"mixture at {' and '.join(layers)}, K 3, EM iter. "
                       f'{n_iter}, batch {batch_size}',
            'batch normalization',
            step({layer: ('mixture', {'n_iter': n_iter, 'seed': 0})
                  for layer in layers}), step({}))


def extra_bytes(shape):
    """Measures what memory a layer takes that has not run before.

    For a process of its own: memory of earlier calls would not be seen.

    Args:
        shape (tuple of ints): Shape of the input.

    Returns:
        int: The most, in bytes, that is in use during either pass beyond
        input, output or gradient of the input, and posterior.

    """
    x = Bench(chainer.get_device('@numpy'), 0).activation(shape)
    tracemalloc.start()
    link = mixnorm.links.MixtureNormalization(shape[1], seed=0)
    posterior = 4 * link.n_components * (x.size // shape[1])
    most = 0
    for _ in range(3):
        v = chainer.Variable(x)
        tracemalloc.reset_peak()
        y = link(v)
        most = max(most, tracemalloc.get_traced_memory()[1]
                   - x.nbytes - posterior)
        y.grad = x
        tracemalloc.reset_peak()
        y.backward()
        most = max(most, tracemalloc.get_traced_memory()[1]
                   - 2 * x.nbytes - posterior)
        del v, y
    tracemalloc.stop()
    return most


def bench_growth(bench):
    """Time and memory of a layer against the number of points and channels."""
    def measure(shape):
        link = mixnorm.links.MixtureNormalization(shape[1], seed=0)
        link.to_device(bench.device)
        seconds = bench.shortest(
            forward_and_backward(link, bench.activation(shape)))
        if bench.device.xp is not numpy:
            return seconds, None
        with multiprocessing.get_context('spawn').Pool(1) as pool:
            return seconds, pool.apply(extra_bytes, (shape,))

    growth = {}
    for name, shapes, size in (
            ('points', [(2 ** e // 64, 16, 8, 8)
                        for e in range(12, 23, 2)],
             lambda shape: shape[0] * 64),
            ('channels', [(256, 2 ** e, 8, 8) for e in range(4, 10)],
             lambda shape: shape[1])):
        points = []
        for shape in shapes:
            seconds, memory = measure(shape)
            points.append({'size': size(shape), 'seconds': seconds,
                           'extra_bytes': memory})
        growth[name] = points
        # A call costs something whatever the size.
        (first, last) = points[0], points[-1]
        slope = (last['seconds'] - first['seconds']) / (
            last['size'] - first['size'])
        for p in points:
            p['of_line'] = p['seconds'] / (
                first['seconds'] + slope * (p['size'] - first['size']))
            print('growth     {:<9} {:>8}: {:6.3f} of the straight line{}'
                  .format(name, p['size'], p['of_line'],
                          '' if p['extra_bytes'] is None else
                          f", {p['extra_bytes'] / 2 ** 20:.1f} MiB beyond "
                          'input, output and posterior'), flush=True)
    bench.growth = growth


def draw_growth(growth, path):
    """Draws time against size on double logarithmic axes.

    Args:
        growth (dict): What :func:`bench_growth` measured.
        path (str): The image to write.

    Raises:
        ImportError: If matplotlib is not installed.

    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter

    figure = Figure(figsize=(10, 4.2), layout='constrained')
    FigureCanvasAgg(figure)
    for axes, (name, points) in zip(
            figure.subplots(1, len(growth), squeeze=False)[0],
            growth.items()):
        sizes = [p['size'] for p in points]
        milliseconds = [1e3 * p['seconds'] for p in points]
        axes.loglog(sizes, milliseconds, 'o-', label='measured')
        axes.loglog(
            sizes, [milliseconds[-1] * s / sizes[-1] for s in sizes], '--',
            color='gray', label='in proportion to the size')
        axes.set_xscale('log', base=2)
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel(f'number of {name}')
        axes.set_ylabel('forward and backward pass, ms')
        axes.grid(alpha=.3, which='both')
        axes.legend()
    figure.savefig(path, dpi=100)


SECTIONS = {
    'layer': bench_layer,
    'modes': bench_modes,
    'inference': bench_inference,
    'output': bench_output,
    'fit': bench_fit,
    'network': bench_network,
    'growth': bench_growth,
}


def describe(device):
    """Returns the machine, the versions and the thread counts."""
    import sklearn
    found = {
        'device': str(device), 'machine': platform.machine(),
        'cores': len(os.sched_getaffinity(0)),
        'threads': {name: os.environ.get(name) for name in (
            'OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS',
            'OPENBLAS_THREAD_TIMEOUT')},
        'python': platform.python_version(), 'numpy': numpy.__version__,
        'chainer': chainer.__version__, 'mixnorm': mixnorm.__version__,
        'scikit-learn': sklearn.__version__}
    if os.path.exists('/proc/cpuinfo'):
        with open('/proc/cpuinfo') as file:
            found['processor'] = next(
                (line.partition(':')[2].strip() for line in file
                 if line.startswith('model name')), None)
    if device.xp is not numpy:
        cupy = device.xp
        properties = cupy.cuda.runtime.getDeviceProperties(device.device.id)
        found.update(cupy=cupy.__version__, gpu=properties['name'].decode(),
                     cuda=cupy.cuda.runtime.runtimeGetVersion())
    return found


def main(argv=None):
    """Measures as the command line says.

    Args:
        argv (list of str or None): The arguments; ``None`` for the process's.

    Returns:
        int: Exit status.

    """
    parser = command_line.ArgumentParser(
        prog='benchmark.py', description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--device', default='@numpy',
                        help="Chainer's name of a device (default: @numpy)")
    parser.add_argument('--only', nargs='+', choices=SECTIONS,
                        default=list(SECTIONS), metavar='SECTION',
                        help='any of %(choices)s (default: all)')
    parser.add_argument('--seconds', type=command_line.positive_float,
                        default=2., metavar='S',
                        help='how long to measure a pair (default: 2)')
    parser.add_argument('--out', default='result/benchmark',
                        help='folder to write to (default: %(default)s)')
    args = parser.parse_args(argv)
    return command_line.exit_status(lambda: measure(args), 'benchmark.py')


def measure(args):
    """Measures what parsed arguments ask for."""
    device = get_device(args.device)
    os.makedirs(args.out, exist_ok=True)
    bench = Bench(device, args.seconds)
    result = describe(device)
    print(', '.join('{} {}'.format(*item) for item in result.items()))
    print(f"{'':<10} {'what':<44} {'against':<27} {'ratio':>7}  "
          f"{'(quartiles)':<17} {'new pages'}")
    for section in args.only:
        SECTIONS[section](bench)
    result.update(rows=bench.rows, growth=bench.growth)
    path = os.path.join(args.out, 'benchmark.json')
    with open(f'{path}.unfinished', 'w') as file:
        json.dump(result, file, indent=1)
    os.replace(f'{path}.unfinished', path)
    print(f'all of it: {path}')
    if bench.growth:
        plot = os.path.join(args.out, 'growth.png')
        try:
            draw_growth(bench.growth, plot)
        except ImportError:
            print('no growth is drawn: matplotlib is not installed')
        else:
            print(f'growth: {plot}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
