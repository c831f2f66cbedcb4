import numpy

from mixnorm.inspection.canvas import (
    colour, component_handles, figure_and_axes, legend_below)
from mixnorm.inspection.posterior import posterior as find_posterior
from mixnorm.inspection.samples_display import as_pictures


class MapsDisplay:

    """Where in an image each component lives.

    Above the images; below, every position in the colours of the components,
    each as strong as its posterior there, over the image in grey.

    Args:
        images (numpy.ndarray): Images ``(n, H, W)`` or ``(n, H, W, 3)``, in
            [0, 1].
        posterior (numpy.ndarray): ``(n, K, h, w)``.

    Attributes:
        figure_ (~matplotlib.figure.Figure): What was drawn.
        ax_ (numpy.ndarray): Its axes, ``(2, n)``.

    """

    def __init__(self, images, posterior):
        self.images = images
        self.posterior = posterior

    @classmethod
    def from_link(cls, link, x, images, n_images=8):
        """Computes the posterior of every position.

        Args:
            link (~chainer.Link): A link of mixture normalization.
            x (:class:`~chainer.Variable` or array): Input of the link,
                two-dimensional in space.
            images (numpy.ndarray): The images ``(N, 1 or 3, H, W)``, in any
                units.
            n_images (int): How many to show, from the first.

        Returns:
            MapsDisplay: The display.

        Raises:
            ValueError: If the link has no posterior of positions, images
                have another shape, or see
                :func:`mixnorm.inspection.posterior`.

        """
        return cls.from_posterior(
            find_posterior(link, x[:n_images]), images, n_images)

    @classmethod
    def from_posterior(cls, posterior, images, n_images=8):
        """Shows a posterior that is known.

        Args:
            posterior (numpy.ndarray): ``(N, K, h, w)``.
            images (numpy.ndarray): See :meth:`from_link`.
            n_images (int): How many to show, from the first.

        Returns:
            MapsDisplay: The display.

        Raises:
            ValueError: If the posterior is not one of positions, or images
                have another shape.

        """
        if posterior.ndim != 4:
            raise ValueError(f'posterior has shape {posterior.shape}: it must '
                             'be (N, K, h, w), as mixture normalization of '
                             'images has it')
        return cls(as_pictures(images)[:n_images], posterior[:n_images])

    def plot(self, ax=None, **style):
        """Draws the maps.

        Args:
            ax (array of ~matplotlib.axes.Axes or None): Axes ``(2, n)`` to
                draw on; ``None`` for a figure of its own.
            style: What else :meth:`matplotlib.axes.Axes.imshow` takes.

        Returns:
            MapsDisplay: Itself.

        """
        from matplotlib.colors import to_rgb
        n, n_modes = self.posterior.shape[:2]
        self.figure_, self.ax_ = figure_and_axes(ax, 2, n, size=(1.15, 1.2))
        colours = numpy.array([to_rgb(colour(k)) for k in range(n_modes)])
        for image, tau, (above, below) in zip(
                self.images, self.posterior, self.ax_.T):
            grey = image if image.ndim == 2 else image.mean(axis=2)
            map_ = numpy.einsum('khw,kc->hwc', tau, colours)
            map_ = _magnify(map_, grey.shape)
            above.imshow(image, cmap='gray', vmin=0, vmax=1,
                         interpolation='nearest')
            below.imshow((.4 + .6 * grey[..., None]) * map_,
                         **{'interpolation': 'nearest', **style})
            for panel in (above, below):
                panel.set_xticks([])
                panel.set_yticks([])
        self.ax_[0, 0].set_ylabel('image')
        self.ax_[1, 0].set_ylabel('posterior')
        if ax is None:
            legend_below(self.figure_, component_handles(n_modes))
        return self


def _magnify(map_, shape):
    """Brings a map to an image's size; each pixel takes the nearest."""
    rows, columns = (
        (numpy.arange(size) + .5) * length // size
        for size, length in zip(shape, map_.shape))
    return map_[rows.astype(int)[:, None], columns.astype(int)]
