"""Displays as files, and as pictures that fit light and dark pages."""

import base64
import contextlib
import io
import os
import re

import matplotlib
from matplotlib import pyplot

from mixnorm.files import replacing

# A colour that nothing else has, for all that is to be dark on a light page
# and light on a dark one.
_INK = '#1f2328'

PAGE_STYLE = {
    'text.color': _INK, 'axes.edgecolor': _INK, 'axes.labelcolor': _INK,
    'xtick.color': _INK, 'ytick.color': _INK, 'figure.facecolor': 'none',
    'axes.facecolor': 'none', 'savefig.facecolor': 'none',
    # Equal pictures are equal files.
    'svg.hashsalt': 'mixnorm'}

_SCHEMES = f"""<style>
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
        with replacing(paths[-1], 'wb') as file:
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


def page_picture(display):
    """Draws a display for a page of either colour scheme.

    Args:
        display: One of :mod:`mixnorm.inspection`.

    Returns:
        tuple: See :func:`for_page`.

    """
    memory = io.StringIO()
    with _without_windows(), matplotlib.rc_context(PAGE_STYLE):
        display.plot().figure_.savefig(memory, format='svg', dpi=150)
    return for_page(memory.getvalue())


def for_page(text):
    """Has a picture follow a page's colour scheme.

    Args:
        text (str): An SVG image, drawn in ``PAGE_STYLE``.

    Returns:
        tuple: The image as a ``data:`` address, and its width and height in
        pixels.

    """
    width, height = re.search(
        r'<svg [^>]*?width="([0-9.]+)pt"', text), re.search(
        r'<svg [^>]*?height="([0-9.]+)pt"', text)
    text = text[text.index('<svg'):].replace(_INK, 'currentColor')
    text = re.sub('<metadata>.*?</metadata>', '', text, flags=re.DOTALL)
    text = text.replace('<defs>', f'{_SCHEMES}<defs>', 1)
    # Hundredths of a point are seen by nobody, and make half of the size.
    text = re.sub(' d="[^"]*"', lambda path: re.sub(
        r'(\.[0-9]{2})[0-9]+', r'\1', path[0]), text)
    encoded = base64.b64encode(text.encode()).decode()
    # A point is 4/3 of a page's pixels.
    return (f'data:image/svg+xml;base64,{encoded}',
            *(round(float(found[1]) * 4 / 3) for found in (width, height)))
