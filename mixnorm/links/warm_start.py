"""The mixture that the fit of the next mini-batch starts from."""
import numpy

from mixnorm.compute.later import Later
from mixnorm.compute.layout import get_array_module
from mixnorm.compute.parameters import are_finite, Parameters
from mixnorm.mixture.fitting import in_deviations


class WarmStart:

    """The last mini-batch's mixture, in units of that batch's channels.

    As a queue, it is never changed: what changes it returns another one.

    Args:
        weights (array): ``(K,)``; 0 for a component that is lost.
        means (array): ``(K,) + size``.
        variances (array): ``(K,) + size``.

    """

    names = 'start_weights', 'start_means', 'start_variances'

    def __init__(self, weights, means, variances):
        self._arrays = weights, means, variances
        self._is_whole = Later((weights > 0).all())

    @staticmethod
    def shapes(n_components, size):
        """Returns the shapes of the arrays.

        Args:
            n_components (int): Number of components ``K``.
            size (tuple of ints): Shape of the channel dimensions.

        """
        return (n_components,), (n_components,) + size, (n_components,) + size

    @classmethod
    def empty(cls, xp, dtype, n_components, size):
        """Makes one without a mixture; see :meth:`shapes`."""
        weights, means, variances = cls.shapes(n_components, size)
        return cls(xp.zeros(weights, dtype), xp.zeros(means, dtype),
                   xp.ones(variances, dtype))

    @property
    def arrays(self):
        """Arrays by name, as they are saved."""
        return dict(zip(self.names, self._arrays))

    def followed_by(self, mixture, n_points):
        """Returns what the mini-batch after this one starts from.

        Values that are not finite leave it as it is.  The choice is made on
        the device: nothing waits for it.

        Args:
            mixture (Parameters): Statistics of a mini-batch, ``(K,)`` and
                ``(K, C)``; of fewer components, the others are lost.
            n_points (int): Number of its points.

        Returns:
            WarmStart: The new one.

        """
        xp = get_array_module(mixture.weights)
        weights, means, variances = in_deviations(mixture)
        # What has less than one point has no variance.
        weights = xp.where(weights * n_points < 1, 0, weights)
        new = [xp.zeros_like(old) for old in self._arrays]
        with numpy.errstate(over='ignore'):
            # Of another dtype they may be finite no longer.
            for z, found in zip(new, (weights, means, variances)):
                z[:len(found)] = found.reshape((-1,) + z.shape[1:])
        finite = are_finite(new)
        return WarmStart(*(
            xp.where(finite, z, old) for z, old in zip(new, self._arrays)))

    def read(self):
        """Returns the mixture, ``None`` if there is none or a component of it
        is lost."""
        if not self._is_whole.get():
            return None
        weights, means, variances = self._arrays
        matrix = len(weights), -1
        return Parameters(
            weights, means.reshape(matrix), variances.reshape(matrix))
