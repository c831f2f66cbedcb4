import chainer
import chainer.functions as F
import numpy

from models.dcgan import Discriminator, Generator
from train.adversarial.samples import from_bytes
from train.adversarial.updater import AdversarialUpdater, draw_latent
from train.data.batches import BatchIterator


def _updater(seed=0):
    numpy.random.seed(seed)
    images = numpy.random.randint(256, size=(12, 3, 32, 32)).astype('u1')
    models = Generator(5, 8), Discriminator(8, 3)
    optimizers = [
        chainer.optimizers.SGD(.1).setup(model) for model in models]
    batches = BatchIterator(
        images, numpy.zeros(12, 'i'), 6, numpy.random.RandomState(1),
        lambda images, random_state: from_bytes(images))
    return AdversarialUpdater(
        batches, 5, *optimizers, numpy.random.RandomState(2),
        chainer.get_device('@numpy'))


def _parameters(model):
    return {name: parameter.array.copy()
            for name, parameter in model.namedparams()}


def test_update_is_a_step_down_each_loss():
    """The two losses, as probabilities, each by a pass of its own."""
    updater, other = _updater(), _updater()
    images, _ = other.get_iterator('main').next()
    latent = draw_latent(numpy.random.RandomState(2), 6, 5)
    generator, discriminator = (
        other.get_optimizer(name).target
        for name in ('generator', 'discriminator'))
    expected = {}
    for name, model in (('generator', generator),
                        ('discriminator', discriminator)):
        generator.cleargrads()
        discriminator.cleargrads()
        real = F.sigmoid(discriminator(images))
        generated = F.sigmoid(discriminator(generator(latent)))
        loss = -F.average(F.log(generated)) if name == 'generator' else (
            -F.average(F.log(real)) - F.average(F.log(1 - generated)))
        loss.backward()
        expected[name] = float(loss.array), {
            path: parameter.array - .1 * parameter.grad
            for path, parameter in model.namedparams()}
        probabilities = [float(F.average(p).array)
                         for p in (real, generated)]

    reporter = chainer.Reporter()
    for name in expected:
        reporter.add_observer(name, updater.get_optimizer(name).target)
    observation = {}
    with reporter.scope(observation):
        updater.update()
    for name, (loss, parameters) in expected.items():
        found = _parameters(updater.get_optimizer(name).target)
        assert found.keys() == parameters.keys()
        for path in found:
            numpy.testing.assert_allclose(
                found[path], parameters[path], 1e-4, 1e-5, err_msg=path)
        numpy.testing.assert_allclose(
            observation[f'{name}/loss'].array, loss, 1e-5)
    numpy.testing.assert_allclose(
        [observation[f'discriminator/{name}'].array
         for name in ('real', 'generated')], probabilities, 1e-5)


def test_real_and_generated_images_are_batches_of_their_own():
    updater = _updater()
    sizes = []

    class Sizes(chainer.LinkHook):

        def forward_preprocess(self, args):
            if args.link is updater.get_optimizer('discriminator').target:
                sizes.append(len(args.args[0]))

    with Sizes():
        updater.update()
    assert sizes == [6, 6]


def test_latent_vectors():
    z = draw_latent(numpy.random.RandomState(0), 400, 50)
    assert z.shape == (400, 50) and z.dtype == numpy.float32
    numpy.testing.assert_allclose(
        numpy.quantile(z, [0, .25, .5, .75, 1]), [-1, -.5, 0, .5, 1],
        atol=.02)
