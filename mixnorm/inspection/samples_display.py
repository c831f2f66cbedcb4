import numpy

from mixnorm.checks import check_integer
from mixnorm.inspection.canvas import colour, figure_and_axes
from mixnorm.inspection.posterior import of_samples, posterior
from mixnorm.inspection.state import noun_of


class SamplesDisplay:

    """The images that belong to each component or mode the most.

    A contact sheet for each, the images of the highest posterior first.

    Args:
        images (numpy.ndarray): Images ``(K, n, H, W)``, or
            ``(K, n, H, W, 3)``, in [0, 1].
        scores (numpy.ndarray): Their posterior, averaged over positions, or
            their gate, ``(K, n)``.
        indices (numpy.ndarray): Which of all images they are, ``(K, n)``.
        shares (numpy.ndarray): Mean posterior or gate of all images,
            ``(K,)``.
        noun (str): What to call one: ``'component'`` or ``'mode'``.

    Attributes:
        figure_ (~matplotlib.figure.Figure): What was drawn.
        ax_ (numpy.ndarray): Its axes, ``(K,)``.

    Source: L. Deecke, I. Murray and H. Bilen, *Mode Normalization* (2019),
    figure 2.

    """

    def __init__(self, images, scores, indices, shares, noun='component'):
        self.images = images
        self.scores = scores
        self.indices = indices
        self.shares = shares
        self.noun = noun

    @classmethod
    def from_link(cls, link, x, images, n_images=16):
        """Finds the images that belong to each component the most.

        Args:
            link (~chainer.Link): A link of mixture or mode normalization.
            x (:class:`~chainer.Variable` or array): Input of the link for all
                images.
            images (numpy.ndarray): The images ``(N, 1 or 3, H, W)``, in any
                units: each channel is shown from its least to its greatest
                value.
            n_images (int): How many to show of each.

        Returns:
            SamplesDisplay: The display.

        Raises:
            ValueError: See :func:`mixnorm.inspection.posterior` and
                :meth:`from_posterior`.

        """
        return cls.from_posterior(
            of_samples(posterior(link, x)), images, n_images, noun_of(link))

    @classmethod
    def from_posterior(cls, scores, images, n_images=16,
                       noun='component'):
        """Finds the images that belong to each component the most.

        Args:
            scores (numpy.ndarray): Posterior of each image, averaged over
                positions, or its gates, ``(N, K)``.
            images (numpy.ndarray): See :meth:`from_link`.
            n_images (int): How many to show of each.
            noun (str): What to call one: ``'component'`` or ``'mode'``.

        Returns:
            SamplesDisplay: The display.

        Raises:
            ValueError: If there are more images or fewer than scores, they
                have another shape, or ``n_images`` is less than 1.

        """
        check_integer('n_images', n_images, 1)
        if len(images) != len(scores):
            raise ValueError(f'images holds {len(images)}: it must hold '
                             f'{len(scores)}, which is how many scores are of')
        order = numpy.argsort(-scores, axis=0, kind='stable')[:n_images].T
        return cls(as_pictures(images)[order],
                   numpy.take_along_axis(scores.T, order, axis=1), order,
                   scores.mean(axis=0), noun)

    def plot(self, ax=None, **style):
        """Draws the contact sheets.

        Args:
            ax (array of ~matplotlib.axes.Axes or None): ``K`` axes to draw
                on; ``None`` for a figure of its own.
            style: What else :meth:`matplotlib.axes.Axes.imshow` takes.

        Returns:
            SamplesDisplay: Itself.

        """
        n_modes, n_images = self.scores.shape
        n_columns = int(numpy.ceil(numpy.sqrt(n_images)))
        self.figure_, all_axes = figure_and_axes(
            ax, 1, n_modes, size=(2.3, 2.6))
        self.ax_ = all_axes[0] if ax is None else all_axes.ravel()
        for k, panel in enumerate(self.ax_):
            sheet = _sheet(self.images[k], n_columns)
            panel.imshow(sheet, **{'cmap': 'gray', 'vmin': 0, 'vmax': 1,
                                   'interpolation': 'nearest', **style})
            panel.set_xticks([])
            panel.set_yticks([])
            for spine in panel.spines.values():
                spine.set(color=colour(k), linewidth=4)
            panel.set_title(f'{self.noun} {k}: {self.shares[k]:.0%} of all',
                            fontsize='medium')
            quantity = 'gate' if self.noun == 'mode' else 'posterior'
            panel.set_xlabel(f'{quantity} {self.scores[k, 0]:.2f} to '
                             f'{self.scores[k, -1]:.2f}', fontsize='small')
        return self


def as_pictures(images):
    """Brings images into the form and the range that are drawn.

    Args:
        images (numpy.ndarray): ``(N, 1 or 3, H, W)``.

    Returns:
        numpy.ndarray: ``(N, H, W)`` or ``(N, H, W, 3)``, each channel from 0
        to 1.

    Raises:
        ValueError: If they have another shape.

    """
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ValueError(f'images has shape {images.shape}: it must be '
                         '(N, 1 or 3, H, W)')
    low = images.min(axis=(0, 2, 3), keepdims=True)
    extent = images.max(axis=(0, 2, 3), keepdims=True) - low
    pictures = (images - low) / numpy.where(extent > 0, extent, 1)
    return pictures[:, 0] if images.shape[1] == 1 else (
        pictures.transpose(0, 2, 3, 1))


def _sheet(images, n_columns):
    """Puts images side by side; what is left over is transparent."""
    if images.ndim == 3:
        images = images[..., None].repeat(3, axis=3)
    n, height, width, _ = images.shape
    gap = max(1, height // 16)
    n_rows = -(-n // n_columns)
    sheet = numpy.zeros((n_rows * (height + gap) + gap,
                         n_columns * (width + gap) + gap, 4))
    for i, image in enumerate(images):
        top = gap + i // n_columns * (height + gap)
        left = gap + i % n_columns * (width + gap)
        sheet[top:top + height, left:left + width, :3] = image
        sheet[top:top + height, left:left + width, 3] = 1
    return sheet
