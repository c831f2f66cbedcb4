"""The rows of the benchmark: what is compared with what."""
import functools
import statistics
import warnings

import mixnorm
import chainer
import chainer.functions as F
import chainer.links as L
import numpy
from sklearn.mixture import GaussianMixture

from mixnorm import compute
from mixnorm.links import MixtureNormalization
from models.cifar_cnn import CifarCNN
from models.densenet import DenseNet
from tools.benchmark.gpu import count_launches
from tools.benchmark.gpu import KernelTimer
from tools.benchmark.gpu import measure_host
from tools.benchmark.harness import measure
from tools.benchmark.harness import new_process

SHAPE = 256, 128, 8, 8
OUTPUT_SHAPES = SHAPE, (256, 64, 32, 32)
BATCH_SIZE = 64  # Four times as many on a GPU.

# DenseNets of table VII of Kalayeh & Shah: layers and batch size. A CPU is
# given the first only.
DENSENETS = (19, 64), (40, 64), (40, 128)


def activation(device, shape, n_modes=3, seed=0):
    """Returns a rectified mixture, float32, on a device."""
    random = numpy.random.RandomState(seed)
    modes = random.randn(n_modes, shape[1])
    labels = random.randint(n_modes, size=shape[:1] + shape[2:])
    x = random.randn(*shape) + numpy.moveaxis(modes[labels], -1, 1)
    return device.send(numpy.maximum(x, 0).astype(numpy.float32))


def forward_and_backward(link, x):
    """Returns a function that runs both passes of a link once, where x is."""
    link.to_device(chainer.backend.get_device_from_array(x))
    gy = link.device.send(
        numpy.random.RandomState(1).randn(*x.shape).astype(numpy.float32))

    def run():
        v = chainer.Variable(x)
        y = link(v)
        y.grad = gy
        y.backward()
    return run


def torch_forward_and_backward(x):
    """Returns the same for PyTorch's BatchNorm2d, if that is installed."""
    import torch

    layer = torch.nn.BatchNorm2d(x.shape[1])
    points, gy = (torch.from_numpy(z.copy()) for z in (
        x, numpy.random.RandomState(1).randn(*x.shape).astype(x.dtype)))

    def run():
        layer(points.detach().requires_grad_()).backward(gy)
    return run


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


def training_step(device, batch_size, normalizers,
                  network=functools.partial(CifarCNN, 10)):
    """Returns a function that trains a network for one step.

    Args:
        device (chainer.backend.Device): Where.
        batch_size (int): Images in a step.
        normalizers (dict): As the network takes them.
        network (callable): Makes it of ``in_channels`` and ``normalizers``.

    """
    random = numpy.random.RandomState(0)
    x = device.send(
        random.randn(batch_size, 3, 32, 32).astype(numpy.float32))
    t = device.send(random.randint(10, size=batch_size).astype('i'))
    numpy.random.seed(0)
    model = network(in_channels=3, normalizers=normalizers)
    model.to_device(device)
    optimizer = chainer.optimizers.RMSprop(lr=.001, alpha=.9)
    optimizer.setup(model)

    def run():
        loss = F.softmax_cross_entropy(model(x), t)
        model.cleargrads()
        loss.backward()
        optimizer.update()
    return run


def compare_layer(benchmark):
    """Forward and backward pass of mixture normalization, fit included."""
    for shape, n_components, n_iter in (
            [(SHAPE, k, 2) for k in range(1, 9)]
            + [(SHAPE, 3, n_iter) for n_iter in (4, 8)]
            # Few points of many channels, and many of one.
            + [(shape, k, 2) for shape in ((8, 200000), (100000, 1, 2))
               for k in (3, 8)]
            + [(shape, 3, 2) for shape in (
                (256, 64, 8, 8), (256, 256, 8, 8), (256, 448, 8, 8),
                (64, 128, 8, 8), (256, 64, 16, 16), (128, 64, 32, 32),
                (16384, 128))]):
        x = activation(benchmark.device, shape)
        ours = MixtureNormalization(shape[1], n_components, n_iter, seed=0)
        benchmark.compare(
            'layer', f'mixture {_text(shape)}, K {n_components}, '
                     f'EM iter. {n_iter}', 'L.BatchNormalization',
            forward_and_backward(ours, x),
            forward_and_backward(L.BatchNormalization(shape[1]), x))
    x = activation(benchmark.device, SHAPE)
    for n_components in (3, 8):
        cold, warm = (
            MixtureNormalization(
                SHAPE[1], n_components, seed=0, warm_start=warm_start)
            for warm_start in (False, True))
        benchmark.compare(
            'layer', f'mixture {_text(SHAPE)}, K {n_components}, warm start',
            'the same without', forward_and_backward(warm, x),
            forward_and_backward(cold, x))


def compare_modes(benchmark):
    """Forward and backward pass of mode normalization."""
    x = activation(benchmark.device, SHAPE)
    rivals = [
        ('mode', mixnorm.links.ModeNormalization, 'L.BatchNormalization',
         forward_and_backward(L.BatchNormalization(SHAPE[1]), x)),
        ('mode group', mixnorm.links.ModeGroupNormalization,
         'L.GroupNormalization',
         forward_and_backward(L.GroupNormalization(1, SHAPE[1]), x))]
    if benchmark.device.xp is numpy:
        try:
            rivals.append((
                'mode', mixnorm.links.ModeNormalization,
                "PyTorch's BatchNorm2d", torch_forward_and_backward(x)))
        except ImportError:
            print('modes      PyTorch is not installed: not compared')
    for name, link, against, theirs in rivals:
        for n_modes in (2, 4, 6):
            benchmark.compare(
                'modes', f'{name} {_text(SHAPE)}, K {n_modes}', against,
                forward_and_backward(link(SHAPE[1], n_modes), x), theirs)


def compare_inference(benchmark):
    """Test mode; the queue of mixture normalization is full."""
    size = SHAPE[1]
    x = activation(benchmark.device, SHAPE)
    for name, options, ours in (
            ('mixture', 'K 3, T 10', MixtureNormalization(size, 3, seed=0)),
            ('mixture', 'K 8, T 10', MixtureNormalization(size, 8, seed=0)),
            ('mode', 'K 2', mixnorm.links.ModeNormalization(size, 2))):
        theirs = L.BatchNormalization(size)
        for link in (ours, theirs):
            link.to_device(benchmark.device)
            for seed in range(10):
                link(activation(benchmark.device, SHAPE, seed=seed))
        with chainer.using_config('train', False), chainer.no_backprop_mode():
            benchmark.compare(
                'inference', f'{name} {_text(SHAPE)}, {options}',
                'L.BatchNormalization', lambda: ours(x), lambda: theirs(x))


def compare_output(benchmark):
    """The output, its posterior and statistics given, against a copy."""
    for shape in OUTPUT_SHAPES:
        x = activation(benchmark.device, shape)
        link = MixtureNormalization(shape[1], 3, seed=0)
        link.to_device(benchmark.device)
        link(x)
        weights, means, variances = (z[0] for z in link.queue)
        mixture = mixnorm.mixture.DiagonalGaussianMixture(
            3, weights_init=weights, means_init=means,
            covariances_init=variances + 1e-3, max_iter=1, tol=0)
        posterior = mixture.fit(x).predict_proba(x)
        parameters = mixnorm.mixture.Parameters(weights, means, variances)
        gamma, beta = link.gamma.array, link.beta.array

        def ours():
            with chainer.no_backprop_mode():
                mixnorm.functions.mixture_normalization(
                    x, gamma, beta, posterior, statistics=parameters)

        ratio = benchmark.compare(
            'output', f'mixture {_text(shape)}, K 3', 'copy of the input',
            ours, lambda: x.copy())
        share = (1 + posterior.nbytes / (2 * x.nbytes)) / ratio
        print(f"{'':<10} its bytes/s are {share:.0%} of the copy's")
    if benchmark.device.xp is not numpy:
        compare_kernels(benchmark)


def compare_kernels(benchmark):
    """The kernel of the output, against a copy, by the GPU's own clock."""
    random = numpy.random.RandomState(0)
    for shape in OUTPUT_SHAPES:
        x = activation(benchmark.device, shape)
        x = x.reshape(*shape[:2], -1)
        tau, slope, offset = (
            benchmark.device.send(random.rand(*s).astype(numpy.float32))
            for s in ((shape[0], 3, x.shape[2]), (3, shape[1]),
                      (3, shape[1])))
        transform = compute.arithmetic(x).transform
        timer = KernelTimer(benchmark.device, [x, tau])
        ratio = benchmark.compare_measured(
            'output', f'its kernel {_text(shape)}, K 3, beyond the cache',
            'copy of the input',
            lambda: timer.measure(lambda x, tau: transform.affine(
                x, tau, slope, offset, None, None)),
            lambda: timer.measure(lambda x, tau: x.copy()))
        share = (1 + tau.nbytes / (2 * x.nbytes)) / ratio
        print(f"{'':<10} its bytes/s are {share:.0%} of the copy's")


def compare_host(benchmark):
    """What a step takes of the host: time until it returns, and launches."""
    if benchmark.device.xp is numpy:
        print('host       only where kernels are launched: on a GPU')
        return
    x = activation(benchmark.device, SHAPE)
    for name, link in (
            ('mixture', MixtureNormalization(SHAPE[1], 3, seed=0)),
            ('mode', mixnorm.links.ModeNormalization(SHAPE[1], 2))):
        ours = forward_and_backward(link, x)
        theirs = forward_and_backward(L.BatchNormalization(SHAPE[1]), x)
        ours()
        benchmark.compare_measured(
            'host', f'{name} {_text(SHAPE)}', 'L.BatchNormalization',
            lambda: measure_host(ours, benchmark.device),
            lambda: measure_host(theirs, benchmark.device),
            f"{count_launches(ours)} launches of the library's kernels")


def compare_fit(benchmark):
    """A fit, against scikit-learn's on the CPU and plain array operations."""
    X = activation(benchmark.device, (16384, 128))
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
        benchmark.compare(
            'fit', f'16384x128, K 3, 1 + 1 iterations, {sample_ratio:g} of '
                   'points', 'scikit-learn, 2 iterations',
            lambda: fit_ours(sample_ratio), fit_theirs,
            f'{_gain(our_score, their_score)}, medians of {len(seeds)} seeds')

    uniform = numpy.random.RandomState(0).rand(3, 3)
    benchmark.compare(
        'fit', '16384x128, K 3, 1 + 1 iterations, all points',
        'plain array operations', lambda: fit_ours(1.),
        lambda: plain_fit(benchmark.device.xp, X, 3, uniform))

    ours = mixnorm.mixture.DiagonalGaussianMixture(3, random_state=0)
    theirs = GaussianMixture(3, covariance_type='diag', random_state=0)
    benchmark.compare(
        'fit', '16384x128, K 3, to convergence', 'scikit-learn, its defaults',
        lambda: ours.fit(X), lambda: theirs.fit(host),
        _gain(ours.fit(X).score(X), theirs.fit(host).score(host)))


def compare_network(benchmark):
    """Training steps of the CIFAR network, and of table VII's DenseNets."""
    device = benchmark.device
    batch_size = BATCH_SIZE if device.xp is numpy else 4 * BATCH_SIZE
    for layers, n_iter in (
            (['conv3'], 2), (['conv3'], 4), (['conv3'], 8), (['conv2'], 2),
            (['conv2', 'conv3'], 2)):
        benchmark.compare(
            'network', f"mixture at {' and '.join(layers)}, K 3, EM iter. "
                       f'{n_iter}, batch {batch_size}', 'batch normalization',
            training_step(device, batch_size, {
                layer: ('mixture', {'n_iter': n_iter, 'seed': 0})
                for layer in layers}),
            training_step(device, batch_size, {}))
    for depth, batch_size in DENSENETS[:1 if device.xp is numpy else None]:
        network = functools.partial(DenseNet, 100, depth)
        for n_components in (2, 3, 4, 5):
            benchmark.compare(
                'network', f'DenseNet of {depth} layers, mixture at last, '
                           f'K {n_components}, batch {batch_size}',
                'batch normalization', *(
                    training_step(device, batch_size, normalizers, network)
                    for normalizers in (
                        {'last': ('mixture', {
                            'n_components': n_components, 'seed': 0})}, {})))
    if device.xp is numpy:
        # A process that keeps its memory keeps it to the end.
        with new_process() as kept, new_process() as other:
            benchmark.compare_measured(
                'network', f'batch normalization, batch {batch_size}, memory '
                           'kept', 'memory not kept',
                lambda: kept.submit(_time_step, batch_size, True).result(),
                lambda: other.submit(_time_step, batch_size, False).result())


@functools.lru_cache
def _step_of_process(batch_size, keep_memory):
    if keep_memory:
        mixnorm.keep_memory()
    return training_step(chainer.get_device('@numpy'), batch_size, {})


def _time_step(*args):
    return measure(_step_of_process(*args), chainer.get_device('@numpy'))


def _gain(ours, theirs):
    return f'log-likelihood {100 * (ours - theirs) / abs(theirs):+.3f} %'


def _text(shape):
    return 'x'.join(map(str, shape))
