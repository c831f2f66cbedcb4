"""The mixture that the fit of the next mini-batch starts from."""
from mixnorm.compute.carried import Start
from mixnorm.compute.later import Later
from mixnorm.compute.parameters import Parameters


class WarmStart:

    """The last mini-batch's mixture, in units of that batch's channels.

    As a queue, it is never changed: what changes it returns another one.

    Args:
        weights (array): ``(K,)``; 0 for a component that is lost.
        means (array): ``(K,) + size``.
        variances (array): ``(K,) + size``.
        is_whole (array or None): Whether no component is lost, a boolean
            without axes; computed if ``None``.

    """

    names = 'start_weights', 'start_means', 'start_variances'

    def __init__(self, weights, means, variances, is_whole=None):
        self._arrays = weights, means, variances
        self._is_whole = Later(
            (weights > 0).all() if is_whole is None else is_whole)

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

    @property
    def parts(self):
        """The mixture as :mod:`mixnorm.compute` takes it."""
        return Start(*self._arrays)

    def read(self):
        """Returns the mixture, ``None`` if there is none or a component of it
        is lost."""
        if not self._is_whole.get():
            return None
        weights, means, variances = self._arrays
        matrix = len(weights), -1
        return Parameters(
            weights, means.reshape(matrix), variances.reshape(matrix))
