"""One update of a generator and a discriminator."""

import chainer
import chainer.functions as F
from chainer import training
import numpy

from train.data.batches import send, serialize_random_state


class AdversarialUpdater(training.updaters.StandardUpdater):

    r"""Updates discriminator and generator once each, by logistic losses.

    With the discriminator's scores :math:`D` of real images :math:`x` and of
    generated ones :math:`G(z)`, the losses are

    .. math::

       L_D = \mathrm{mean}\,\zeta(-D(x)) + \mathrm{mean}\,\zeta(D(G(z))),
       \qquad
       L_G = \mathrm{mean}\,\zeta(-D(G(z))),
       \qquad \zeta(t) = \log(1 + e^t).

    That of the generator is the one that does not saturate. Both gradients are
    taken at the weights before the update, from one pass. The discriminator
    sees real and generated images as mini-batches of their own, so that
    neither's statistics are mixed with the other's.

    It reports ``generator/loss``, ``discriminator/loss``, and the means of
    :math:`D`'s probabilities, ``discriminator/real`` and
    ``discriminator/generated``.

    Args:
        batches (~train.data.batches.BatchIterator): Real images and labels,
            which are not used.
        n_latent (int): Length of the vectors that the generator takes.
        generator_optimizer (~chainer.GradientMethod): That of the generator.
        discriminator_optimizer (~chainer.GradientMethod): That of the
            discriminator.
        random_state (numpy.random.RandomState): What latent vectors are drawn
            from, which nothing else may draw from. It is saved with the
            updater.
        device (~chainer.backend.Device): Where to train.

    Source: I. Goodfellow et al., *Generative Adversarial Nets* (2014),
    section 3.

    """

    def __init__(self, batches, n_latent, generator_optimizer,
                 discriminator_optimizer, random_state, device):
        super().__init__(
            batches, {'generator': generator_optimizer,
                      'discriminator': discriminator_optimizer},
            converter=send, input_device=device)
        self._n_latent = n_latent
        self._random_state = random_state

    def update_core(self):
        generator_optimizer = self.get_optimizer('generator')
        discriminator_optimizer = self.get_optimizer('discriminator')
        generator = generator_optimizer.target
        discriminator = discriminator_optimizer.target
        images, _ = self.converter(
            self.get_iterator('main').next(), self.input_device)
        latent = self.input_device.send(draw_latent(
            self._random_state, len(images), self._n_latent))
        real = discriminator(images)
        generated_images = generator(latent)
        generated = discriminator(generated_images)

        generator_loss = F.average(F.softplus(-generated))
        discriminator_loss = (F.average(F.softplus(-real))
                              + F.average(F.softplus(generated)))
        generator.cleargrads()
        generator_loss.backward()
        generator_optimizer.update()
        # The discriminator's gradient ends at its input.
        generated_images.unchain()
        discriminator.cleargrads()
        discriminator_loss.backward()
        discriminator_optimizer.update()

        chainer.report({'loss': generator_loss}, generator)
        chainer.report({
            'loss': discriminator_loss,
            'real': F.average(F.sigmoid(real)),
            'generated': F.average(F.sigmoid(generated))}, discriminator)

    def serialize(self, serializer):
        super().serialize(serializer)
        serialize_random_state(self._random_state, serializer['latent'])


def draw_latent(random_state, n, size):
    """Draws latent vectors, uniform in (-1, 1).

    Args:
        random_state (numpy.random.RandomState): What to draw from.
        n (int): How many vectors.
        size (int): Their length.

    Returns:
        numpy.ndarray: Vectors ``(n, size)``, float32.

    Source: the range is that of Chainer's example of DCGAN; Radford et al.
    have a uniform distribution and do not name its range.

    """
    return random_state.uniform(-1, 1, (n, size)).astype(numpy.float32)
