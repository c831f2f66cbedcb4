"""Small trees of tests that stand in for Chainer's."""

import textwrap


def write_tree(folder, files, version='7.8.1'):
    """Writes a checkout of Chainer with some tests.

    Args:
        folder (pathlib.Path): Where.
        files (dict): The files' text by their path in the folder ``tests``.
        version (str): The checkout's version.

    Returns:
        str: The folder of the tests.

    """
    (folder / 'chainer').mkdir(parents=True)
    (folder / 'chainer' / '_version.py').write_text(
        f'__version__ = {version!r}\n')
    (folder / 'tests' / 'chainer_tests').mkdir(parents=True)
    for name, text in files.items():
        path = folder / 'tests' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return str(folder / 'tests')
