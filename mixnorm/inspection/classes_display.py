import numpy

from mixnorm.inspection.canvas import figure_and_axes
from mixnorm.inspection.posterior import of_samples, posterior
from mixnorm.inspection.state import noun_of


class ClassesDisplay:

    """How much each class prefers each component or mode, a heat map.

    Args:
        joint (numpy.ndarray): Share of all images that are of a class and
            belong to a component, ``(n_classes, K)``, adding up to 1.
        classes (list of str): What to call the classes.
        noun (str): What to call one of the components: ``'component'`` or
            ``'mode'``.

    Attributes:
        figure_ (~matplotlib.figure.Figure): What was drawn.
        ax_ (~matplotlib.axes.Axes): Its axes.

    """

    def __init__(self, joint, classes, noun='component'):
        self.joint = joint
        self.classes = classes
        self.noun = noun

    @classmethod
    def from_link(cls, link, x, labels, classes=None):
        """Counts which component the images of each class belong to.

        Args:
            link (~chainer.Link): A link of mixture or mode normalization.
            x (:class:`~chainer.Variable` or array): Input of the link.
            labels (numpy.ndarray): Classes of the images, ``(N,)``, integers
                from 0.
            classes (sequence of str or None): Names of the classes; ``None``
                for their numbers.

        Returns:
            ClassesDisplay: The display.

        Raises:
            ValueError: See :func:`mixnorm.inspection.posterior` and
                :meth:`from_posterior`.

        """
        return cls.from_posterior(
            of_samples(posterior(link, x)), labels, classes, noun_of(link))

    @classmethod
    def from_posterior(cls, scores, labels, classes=None,
                       noun='component'):
        """Counts which component the images of each class belong to.

        Args:
            scores (numpy.ndarray): Posterior of each image, averaged over
                positions, or its gates, ``(N, K)``.
            labels (numpy.ndarray): See :meth:`from_link`.
            classes (sequence of str or None): See :meth:`from_link`.
            noun (str): What to call one: ``'component'`` or ``'mode'``.

        Returns:
            ClassesDisplay: The display.

        Raises:
            ValueError: If a label is no number of a class, or there are more
                or fewer of them than images.

        """
        labels = numpy.asarray(labels)
        if labels.shape != scores.shape[:1] or labels.dtype.kind not in 'iu':
            raise ValueError(
                f'labels has shape {labels.shape} and dtype {labels.dtype}: '
                f'it must be ({len(scores)},), of integers')
        n_classes = int(labels.max()) + 1 if classes is None else len(classes)
        if labels.min() < 0 or labels.max() >= n_classes:
            raise ValueError(
                f'labels holds numbers from {labels.min()} to {labels.max()}: '
                f'they must be from 0 to {max(0, n_classes - 1)}')
        joint = numpy.zeros((n_classes, scores.shape[1]))
        numpy.add.at(joint, labels, scores)
        if classes is None:
            classes = [str(i) for i in range(n_classes)]
        return cls(joint / joint.sum(), list(classes), noun)

    @property
    def preference(self):
        """Share of each class that belongs to each component.

        ``(n_classes, K)``, each row adding up to 1, or to 0 for a class
        without images.

        """
        total = self.joint.sum(axis=1, keepdims=True)
        return self.joint / numpy.where(total > 0, total, 1)

    @property
    def mutual_information(self):
        """Mutual information between component and class, a float in nats.

        ``sum_ck p(c, k) log(p(c, k) / (p(c) p(k)))``: 0 if the class says
        nothing about the component; at most the entropy of either.

        """
        expected = (self.joint.sum(axis=1, keepdims=True)
                    * self.joint.sum(axis=0))
        there = self.joint > 0
        return float((self.joint[there] * numpy.log(
            self.joint[there] / expected[there])).sum())

    def plot(self, ax=None, **style):
        """Draws the heat map.

        Args:
            ax (~matplotlib.axes.Axes or None): Axes to draw on; ``None`` for
                a figure of its own.
            style: What else :meth:`matplotlib.axes.Axes.imshow` takes.

        Returns:
            ClassesDisplay: Itself.

        """
        n_classes, n_modes = self.joint.shape
        self.figure_, all_axes = figure_and_axes(
            ax, size=(max(3.4, 1.6 + .6 * n_modes),
                      max(2.5, 1.2 + .28 * n_classes)))
        self.ax_ = all_axes[0, 0]
        preference = self.preference
        shown = self.ax_.imshow(
            preference, **{'cmap': 'cividis', 'aspect': 'auto', 'vmin': 0,
                           'vmax': max(preference.max(), 1e-9), **style})
        if n_classes <= 40:
            self.ax_.set_yticks(range(n_classes), self.classes)
            for (c, k), value in numpy.ndenumerate(preference):
                self.ax_.text(
                    k, c, f'{value:.2f}', ha='center', va='center',
                    fontsize='small', color='black'
                    if shown.norm(value) > .5 else 'white')
        self.ax_.set_xticks(range(n_modes))
        self.ax_.set_xlabel(self.noun)
        self.ax_.set_ylabel('class')
        self.ax_.set_title(
            f'mutual information {self.mutual_information:.3f} nats',
            fontsize='medium')
        self.figure_.colorbar(shown, ax=self.ax_, label='share of the class')
        return self
