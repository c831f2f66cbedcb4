"""Curves of the training of a generator."""

from mixnorm.files import replacing
from mixnorm.inspection.canvas import colour


_PANELS = (
    ('loss', (
        ('generator/loss', 'generator'),
        ('discriminator/loss', 'discriminator'))),
    ("discriminator's probability of real", (
        ('discriminator/real', 'real images'),
        ('discriminator/generated', 'generated images'))),
    ('Frechet distance', (
        ('fid', 'Inception'),
        ('frechet_classifier_distance', 'classifier'))),
    ('kernel distance', (
        ('kid', 'kernel distance'),)),
    ('density and coverage', (
        ('density', 'density'),
        ('coverage', 'coverage'))),
)


def draw(logs, path):
    """Draws a run's losses, and its distances where it has any.

    Args:
        logs (dict): Maps the run's name to its log, a list of dictionaries
            with the key ``'iteration'``.
        path (str): The image file to write, as PNG.

    Raises:
        ImportError: If matplotlib is not installed.

    """
    # A figure of its own, which no backend or window of the user's is in.
    from matplotlib.figure import Figure

    (title, log), = logs.items()
    panels = [(quantity, [curve for curve in curves
                          if any(curve[0] in entry for entry in log)])
              for quantity, curves in _PANELS]
    panels = [panel for panel in panels if panel[1]]
    n_columns = min(len(panels), 3)
    n_rows = -(-len(panels) // n_columns)
    figure = Figure(figsize=(4.2 * n_columns, 3.4 * n_rows),
                    layout='constrained')
    figure.suptitle(title)
    for i, (quantity, curves) in enumerate(panels, 1):
        axes = figure.add_subplot(n_rows, n_columns, i)
        for index, (key, label) in enumerate(curves):
            points = [(entry['iteration'], entry[key])
                      for entry in log if key in entry]
            axes.plot(*zip(*points), color=colour(index), label=label,
                      linewidth=1, marker='.' if len(points) < 30 else None)
        axes.ticklabel_format(useOffset=False)
        axes.set_xlabel('iteration')
        axes.set_ylabel(quantity)
        axes.grid(alpha=.3)
        if len(curves) > 1:
            axes.legend()
    with replacing(path, 'wb') as file:
        figure.savefig(file, dpi=100, format='png')
