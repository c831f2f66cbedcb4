import chainer
import numpy

# Passes that are remembered. Those whose gradients are never asked for are
# never repeated.
_MOST_PASSES = 64


class Recomputation:

    """What the passes of a link have to repeat when they are recomputed.

    :func:`chainer.functions.forget` runs a pass a second time for its
    gradients.  What the link took from its state then, such as the number of
    its fit, may have changed since, and other passes may lie between.

    """

    def __init__(self):
        self._passes = []

    def remember(self, x, value):
        """Remembers a pass, if it is going to be recomputed.

        Args:
            x (array): Input of the pass.
            value: What its recomputation is to be given.

        """
        if chainer.config._will_recompute:
            self._passes = self._passes[1 - _MOST_PASSES:] + [
                (x.shape, _signature(x), value)]

    def recall(self, x):
        """Returns what was remembered of the pass of an input.

        Args:
            x (array): The input.

        Raises:
            RuntimeError: If it cannot be told which pass that was.

        """
        found = [p for p in self._passes if p[0] == x.shape]
        if len(found) > 1:
            # This waits for a GPU.
            signature = chainer.get_device('@numpy').send(_signature(x))
            found = [p for p in found if numpy.array_equal(
                chainer.get_device('@numpy').send(p[1]), signature,
                equal_nan=True)]
        if len(found) != 1:
            raise RuntimeError(
                'chainer.functions.forget recomputes a pass of a link that '
                f'was called {len(self._passes)} times since, and '
                f'{len(found)} of them had this input: it cannot repeat it')
        if not chainer.config._will_recompute:  # not once more
            self._passes = [p for p in self._passes if p is not found[0]]
        return found[0][2]


def _signature(x):
    """Returns a few numbers by which inputs are told apart."""
    xp = chainer.backend.get_array_module(x)
    rows = x.reshape(len(x), -1)[:, :1]
    return xp.stack([z.sum(dtype=numpy.float64) for z in (x, abs(x), rows)])
