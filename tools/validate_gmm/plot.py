"""Pictures of fitted mixtures over their points."""

from matplotlib.colors import to_rgba_array
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Ellipse
import numpy

from mixnorm.files import replacing
from mixnorm.inspection.canvas import colour
from tools.validate_gmm.comparison import EXACT, match, OURS, THEIRS

# More would only make the file larger.
_MOST_POINTS = 5000


def draw(comparison, dims, path, file_format):
    """Draws both libraries' mixtures in two dimensions.

    On the left those from the same start, on the right those from own
    seedings. Points have the colour of the component that mixnorm gives
    them to; ellipses are two standard deviations wide to each side. On both
    sides the components of a colour are matched.

    Args:
        comparison (Comparison): What was found.
        dims (tuple of int): The two dimensions.
        path (str): The image to write.
        file_format (str): ``'png'``, ``'svg'`` or ``'pdf'``.

    """
    point_set = comparison.points
    figure = Figure(figsize=(10, 5), layout='constrained')
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    # Which is there even if a library found no mixture.
    reference = comparison.same_start[EXACT].parameters
    for axes, title, fits in zip(
            panels, ('same start', 'own seedings'),
            (comparison.same_start, comparison.own_seeding)):
        _draw_fits(axes, point_set.points, fits, reference, dims)
        axes.set_title(title)
        axes.set_xlabel(f'{point_set.axis} {dims[0]}')
        axes.grid(alpha=.3)
    panels[0].set_ylabel(f'{point_set.axis} {dims[1]}')
    figure.suptitle(f'{point_set.name}: fits of {point_set.n_components} '
                    'components, ellipses of 2 standard deviations')
    figure.legend(
        [Line2D([], [], color=colour(0), linewidth=4, alpha=.6),
         Line2D([], [], color='black', linewidth=1.2, linestyle='--')],
        [f'{OURS}, in the colour of its component', THEIRS],
        loc='outside lower center', ncols=2)
    with replacing(path, 'wb') as file:
        figure.savefig(file, dpi=120, format=file_format)


def _draw_fits(axes, points, fits, reference, dims):
    ours, theirs = fits[OURS], fits[THEIRS]
    if ours.error is None:
        palette = to_rgba_array(
            [colour(k) for k in range(len(ours.parameters.weights))])
        # Component order[k] of the fit has colour k.
        order = match(ours.parameters, reference)
        palette[order] = palette.copy()
        step = -(-len(points) // _MOST_POINTS)
        axes.scatter(
            *points[::step, dims].T, s=4, c=palette[ours.labels[::step]],
            alpha=.5, linewidths=0, rasterized=True)
        for k, color in enumerate(palette):
            _add_ellipse(axes, ours.parameters, k, dims, edgecolor=color,
                         linewidth=4, alpha=.6)
    if theirs.error is None:
        for k in range(len(theirs.parameters.weights)):
            _add_ellipse(axes, theirs.parameters, k, dims, edgecolor='black',
                         linewidth=1.2, linestyle='--')


def _add_ellipse(axes, parameters, k, dims, **style):
    deviations = numpy.sqrt(parameters.variances[k, dims])
    axes.add_patch(Ellipse(
        parameters.means[k, dims], *4 * deviations, facecolor='none',
        **style))
