"""What each worker does for test_links.py; the first prints what it found."""

import copy
import itertools
import json
import warnings

import mixnorm  # NOQA  (makes Chainer importable, so it comes first)
import chainer
import chainer.functions as F
import chainer.links as L
import chainermn
import numpy

warnings.simplefilter('ignore')
COMMUNICATOR = chainermn.create_communicator('naive')
SHARES = {2: [100, 156], 4: [64, 92, 57, 43]}[COMMUNICATOR.size]
FOUND = {}


class Counting:

    """A communicator that counts what it sends."""

    def __init__(self):
        self.bytes = []
        self.n_gathers = 0

    def __getattr__(self, name):
        return getattr(COMMUNICATOR, name)

    def allreduce(self, x):
        self.bytes.append(x.nbytes)
        return COMMUNICATOR.allreduce(x)

    def allreduce_obj(self, x):
        self.bytes.append(0)
        return COMMUNICATOR.allreduce_obj(x)

    def allgather(self, x):
        self.n_gathers += 1
        return COMMUNICATOR.allgather(x)


def own(z):
    """Returns this worker's share of a joined batch."""
    end = sum(SHARES[:COMMUNICATOR.rank + 1])
    return z[end - SHARES[COMMUNICATOR.rank]:end]


def make(name, size, dtype, seed, **options):
    random = numpy.random.RandomState(seed)
    if name == 'mixture':
        options = dict({'seed': seed}, **options)
    with chainer.using_config('dtype', numpy.dtype(dtype)):
        link = mixnorm.normalizer(name, size, **options)
    for _, parameter in sorted(link.namedparams()):
        parameter.array[...] = random.randn(*parameter.shape)
    return link


def compare(case, name, shape, dtype='d', **options):
    """Finds the largest errors, as shares of the largest values."""
    random = numpy.random.RandomState(3)
    joined = (random.randn(*shape) + 5 * random.randint(
        3, size=shape[:1] + (1,) * (len(shape) - 1)) + 20).astype(dtype)
    gy = random.randn(*shape).astype(dtype)
    one = make(name, shape[1], dtype, 7, **options)
    counting = Counting()
    many = make(name, shape[1], dtype, 7, communicator=counting, **options)
    errors = FOUND[case] = {}

    def check(what, actual, expected):
        scale = abs(expected).max() or 1
        errors[what] = max(errors.get(what, 0), float(
            abs(actual - expected).max() / scale))

    for step in range(3):
        counting.__init__()
        outcome = []
        for link, part in (one, lambda z: z), (many, own):
            x = chainer.Variable(part(joined) + step)
            y = link(x)
            y.grad = part(gy)
            link.cleargrads()
            y.backward()
            outcome.append((x.grad, y.array))
        for what, actual, expected in zip(
                ('gx', 'y'), outcome[1], outcome[0]):
            check(what, actual, own(expected))
        for (path, theirs), (_, parameter) in zip(
                sorted(one.namedparams()), sorted(many.namedparams())):
            check(path, COMMUNICATOR.allreduce(parameter.grad), theirs.grad)
            if path in ('/gamma', '/beta') and 'activation' not in options:
                check('mean ' + path, parameter.grad,
                      theirs.grad / COMMUNICATOR.size)
    if name == 'mixture':
        for what, actual, expected in zip(
                ('weights', 'means', 'variances'), many.queue, one.queue):
            check('queue ' + what, actual, expected)
    else:
        for what in 'avg_mean', 'avg_sqmean':
            check(what, getattr(many, what), getattr(one, what))
    with chainer.using_config('train', False):
        check('test', many(own(joined)).array, own(one(joined).array))
    FOUND[f'messages of {case}'] = [
        len(counting.bytes) + counting.n_gathers, max(counting.bytes)]


def compare_second_derivatives(case, name, **options):
    joined = numpy.random.RandomState(5).randn(sum(SHARES), 3)
    gradients = []
    for part, communicator in (lambda z: z, None), (own, COMMUNICATOR):
        link = make(name, 3, 'd', 7, communicator=communicator, **options)
        x = chainer.Variable(part(joined))
        gx, = chainer.grad(
            [F.sum(link(x) ** 3)], [x], enable_double_backprop=True)
        F.sum(gx ** 2).backward()
        gradients.append(x.grad)
    FOUND[case] = float(abs(gradients[1] - own(gradients[0])).max()
                        / abs(gradients[0]).max())


def train(communicator):
    """Returns weights after a few updates on joined batches."""
    numpy.random.seed(0)
    with chainer.using_config('dtype', numpy.dtype('d')):
        model = chainer.Sequential(
            L.Linear(3, 4), L.BatchNormalization(4), F.relu, L.Linear(4, 2))
        mixnorm.convert(model, 'mixture', communicator=communicator, seed=1,
                        n_components=2)
    optimizer = chainer.optimizers.MomentumSGD(.1)
    rank, size = 0, 1
    if communicator is not None:
        rank, size = communicator.rank, communicator.size
        optimizer = chainermn.create_multi_node_optimizer(
            optimizer, communicator)
    optimizer.setup(model)
    if communicator is not None:
        # The first update does nothing but to find that weights are new.
        optimizer.is_changed(model)
    random = numpy.random.RandomState(1)
    for _ in range(4):
        x = random.randn(24, 3)
        x, = numpy.split(x, size)[rank:rank + 1]
        optimizer.update(lambda x=x: F.softmax_cross_entropy(
            model(x), (x[:, 0] > 0).astype('i')))
    return {path: p.array for path, p in model.namedparams()}


def message(action):
    """Returns what every worker is told, if all of them are."""
    try:
        action()
        error = None
    except Exception as caught:
        error = f'{type(caught).__name__}: {caught}'
    return COMMUNICATOR.allreduce_obj([error])


def find_messages():
    rank = COMMUNICATOR.rank
    x = own(numpy.random.RandomState(0).randn(sum(SHARES), 3))

    def link(**options):
        return mixnorm.links.MixtureNormalization(
            3, communicator=COMMUNICATOR, **options)

    def mode(**options):
        return mixnorm.links.ModeNormalization(
            3, communicator=COMMUNICATOR, **options)

    ahead = link()
    ahead.n_fits = rank
    FOUND['errors'] = {
        'components': message(lambda: link(n_components=2 + rank)(x)),
        'settings': message(lambda: mode(eps=1e-5 * (1 + rank))(x)),
        'modes': message(lambda: mode(n_modes=2 + rank)(x)),
        'finetune': message(lambda: link()(x, finetune=rank == 1)),
        'finetune of modes': message(lambda: mode()(x, finetune=rank == 1)),
        'kinds': message(lambda: (mode() if rank else link())(x)),
        'nothing': message(lambda: link()(None if rank else x)),
        'integers': message(lambda: link()(x.astype('i') if rank else x)),
        'positions': message(lambda: link()(
            x[:, :, None] if rank == 1 else x)),
        'mini-batches': message(lambda: ahead(x)),
        'empty': message(lambda: link()(x[:0] if rank == 1 else x)),
        'channels': message(lambda: link()(x[:, :2] if rank == 1 else x)),
        'dtype': message(lambda: link()(x.astype('f') if rank == 1 else x)),
        'none': message(lambda: mixnorm.links.ModeNormalization(
            3, communicator='naive')),
        'samples': message(lambda: link(inference='samples')),
    }
    with chainer.using_config('debug', True):
        FOUND['errors']['not finite'] = message(
            lambda: link()(x / 0 if rank == 1 else x))
    with chainer.using_config('type_check', False):
        FOUND['errors']['empty, unchecked'] = message(
            lambda: link()(x[:0] if rank == 1 else x))
    # Nothing is lost: the same links go on.
    ahead.n_fits = 0
    FOUND['errors']['after'] = message(lambda: ahead(x))
    FOUND['repr'] = [repr(link()), repr(mode())]


def find_conversions():
    model = chainer.Chain(
        a=L.BatchNormalization(3), b=L.BatchNormalization(3))
    mixnorm.convert(model, 'mode', 'a', communicator=COMMUNICATOR)
    mixnorm.convert(model, 'batch', 'b', communicator=COMMUNICATOR)
    FOUND['kinds'] = [type(model.a).__name__, type(model.b).__name__]
    copies = model.copy('copy'), copy.deepcopy(model), model.copy('init')
    mixnorm.convert(copies[0], 'mixture', 'a')
    FOUND['communicators'] = all(
        z.a.communicator is COMMUNICATOR and z.b.comm is COMMUNICATOR
        for z in copies)
    # Seeds that were drawn by each worker become one.
    link = mixnorm.links.MixtureNormalization(3, communicator=COMMUNICATOR)
    link(own(numpy.random.RandomState(0).randn(sum(SHARES), 3)))
    FOUND['seeds'] = COMMUNICATOR.allreduce_obj([link.seed])


def main():
    if COMMUNICATOR.size == 4:
        compare('mixture', 'mixture', (256, 3, 5))
        compare('mode', 'mode', (256, 3, 5))
    else:
        images, points = (256, 3, 4, 4), (256, 3)
        for case, dtype in itertools.product(
                (images, points), ('d', 'f')):
            compare(f'mixture {case} {dtype}', 'mixture', case, dtype)
            compare(f'mode {case} {dtype}', 'mode', case, dtype)
        for name, options in {
                'all points': {'sample_ratio': 1., 'kmeans_iter': 0},
                'warm start': {'warm_start': True, 'affine': 'component'},
                'inside': {'affine': 'inside', 'activation': F.relu},
                'second order': {'order': 2, 'seeding': 'k-means||'},
                'afk-mc2': {'seeding': 'afk-mc2', 'n_iter': 3}}.items():
            compare(name, 'mixture', images, **options)
        compare('mode_affine', 'mode', images, mode_affine=True)
        compare('large', 'mixture', (256, 512), n_components=5)
        compare('large inside', 'mixture', (256, 512), n_components=5,
                activation=F.tanh)
        compare('large second order', 'mixture', (256, 512), n_components=5,
                order=2)
        compare_second_derivatives('mixture twice', 'mixture')
        compare_second_derivatives(
            'inside twice', 'mixture', activation=F.tanh, order=2)
        compare_second_derivatives('mode twice', 'mode')
        one, many = train(None), train(COMMUNICATOR)
        FOUND['training'] = max(
            float(abs(many[path] - one[path]).max()) for path in one)
        find_messages()
        find_conversions()
    if COMMUNICATOR.rank == 0:
        print(json.dumps(FOUND))


if __name__ == '__main__':
    main()
