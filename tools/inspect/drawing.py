"""Displays as files, and as pictures that fit light and dark pages."""

import base64
import contextlib
import io
import os
import re

import matplotlib
from matplotlib import pyplot

from train.loop import files

# A colour that nothing else has, for all that is to be dark on a light page
# and light on a dark one.
_INK = '#1f2328'

_PAGE_STYLE = {
    'text.color': _INK, 'axes.edgecolor': _INK, 'axes.labelcolor': _INK,
    'xtick.color': _INK, 'ytick.color': _INK, 'figure.facecolor': 'none',
    'axes.facecolor': 'none', 'savefig.facecolor': 'none',
    # Equal pictures are equal files.
    'svg.hashsalt': 'mixnorm'}

_STYLE = f"""<style>
svg {{ color: {_INK} }}
@media (prefers-color-scheme: dark) {{ svg {{ color: #e6edf3 }} }}
</style>"""


def write(displays, folder, ending):
    """Draws displays to files: all of them, or, if one fails, none.

    Args:
        displays (dict): Maps the files' names, without ending, to displays.
        folder (str): Where to write, made if need be.
        ending (str): ``'png'``, ``'svg'`` or ``'pdf'``.

    Returns:
        list of str: The files.

    """
    drawn = {f'{name}.{ending}': _draw(display, ending)
             for name, display in displays.items()}
    return _write_all(drawn, folder)


def write_animations(displays, folder):
    """Draws displays of components to animated GIFs, as :func:`write`."""
    return _write_all({f'{name}.gif': _animate(display)
                       for name, display in displays.items()}, folder)


def _write_all(contents, folder):
    os.makedirs(folder, exist_ok=True)
    paths = []
    for name, content in contents.items():
        paths.append(os.path.join(folder, name))
        with files.replacing(paths[-1], 'wb') as file:
            file.write(content)
    return paths


@contextlib.contextmanager
def _without_windows():
    """Has pyplot draw to memory, whatever the user has chosen for it."""
    backend = matplotlib.get_backend()
    pyplot.switch_backend('agg')
    try:
        yield
    finally:
        pyplot.close('all')
        pyplot.switch_backend(backend)


def _draw(display, ending):
    memory = io.BytesIO()
    with _without_windows():
        display.plot().figure_.savefig(memory, format=ending, dpi=150)
    return memory.getvalue()


def _animate(display):
    # matplotlib writes animations to files by their names only.
    import tempfile
    from matplotlib.animation import PillowWriter
    with tempfile.TemporaryDirectory() as folder, _without_windows():
        path = os.path.join(folder, 'animation.gif')
        display.animate().save(path, writer=PillowWriter(fps=4), dpi=80)
        with open(path, 'rb') as file:
            return file.read()


def page_picture(draw):
    """Draws a picture for a page of either colour scheme.

    Args:
        draw (callable): Returns a figure.

    Returns:
        tuple: The picture, a ``data:`` address of an SVG image, and its width
        and height in pixels.

    """
    memory = io.StringIO()
    with _without_windows(), matplotlib.rc_context(_PAGE_STYLE):
        figure = draw()
        width, height = figure.get_size_inches() * 96
        figure.savefig(memory, format='svg', dpi=150,
                       metadata={'Date': None, 'Creator': None})
    text = memory.getvalue()
    text = text[text.index('<svg'):].replace(_INK, 'currentColor')
    text = re.sub(r'<metadata>.*?</metadata>', '', text, flags=re.DOTALL)
    text = text.replace('<defs>', f'{_STYLE}<defs>', 1)
    encoded = base64.b64encode(text.encode()).decode()
    return (f'data:image/svg+xml;base64,{encoded}', round(width),
            round(height))
