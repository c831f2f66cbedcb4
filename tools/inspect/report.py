"""One page about several runs, whole in itself."""

import html
import json
import os
import tempfile

from mixnorm.extensions import draw_curves
from mixnorm.files import replacing
from tools.inspect import drawing
from tools.inspect import pictures
from tools.inspect import summary
from tools.inspect.layers import read_layers, record_file, recorded_paths
from train.command_line import as_typed, UserError
from train.loop import files
from train.loop import run_folder
from train.run_log import names_of, read_log, summarize
from train.run_model import load_run

_CAPTIONS = {
    'densities': 'Channels before and after. Above: activations, the single '
    'Gaussian that batch normalization takes them for, and the mixture with '
    'its components. Below: after batch normalization and after this layer, '
    'each with mean 0 and variance 1. Skewness and kurtosis are those after '
    'batch normalization and after this layer; a Gaussian has 0.',
    'components': 'Components of channels over training, under their '
    'weighted densities; the histogram is that of the test images at the '
    'end. Components are numbered by weight, but for warm starts.',
    'samples': 'The test images that belong to each the most.',
    'classes': 'How each class is shared out. The mutual information is 0 '
    'where the class says nothing about it.',
    'maps': 'Where in an image each component lives.'}

_WIDE = 'densities', 'components', 'samples', 'maps'


def write(runs, pattern, n_images, folder, as_json):
    """Writes the page and prints its path.

    Args:
        runs (list of str): Folders of runs, or their snapshots.
        pattern (list of str or None): Which layers; ``None`` for all.
        n_images (int): How many test images to use.
        folder (str or None): Where to write; ``None`` for the folder that the
            first run is in.
        as_json (bool): Whether to print the tables' figures as JSON, too.

    Returns:
        int: Exit status.

    Raises:
        UserError: If a run cannot be shown. Nothing is written then.

    """
    folders = [os.path.normpath(os.path.dirname(run) or '.'
                                if os.path.isfile(run) else run)
               for run in runs]
    names = names_of(folders)
    logs = {name: read_log(folder) for name, folder in zip(names, folders)}
    sections, tables = [_overview(logs, names)], {}
    for number, (path, name, run_path) in enumerate(
            zip(folders, names, runs)):
        run = load_run(run_path)
        layers = read_layers(run, pattern, n_images)
        tables[name] = summary.summarize(layers)
        sections.append(_run(number, name, path, run, layers, tables[name]))
    page = _page(names, sections)
    out = os.path.join(folders[0], os.pardir) if folder is None else folder
    os.makedirs(out, exist_ok=True)
    path = os.path.normpath(os.path.join(out, 'report.html'))
    with replacing(path, 'wb') as file:
        file.write(page.encode())
    if as_json:
        print(json.dumps({'files': [path], 'runs': tables}, indent=2))
    else:
        print(f'report: {path}')
    return 0


def _text(value):
    return html.escape(str(value))


def _page(names, sections):
    css = os.path.join(os.path.dirname(__file__), 'page.css')
    with open(css) as file:
        style = file.read()
    title = _text(', '.join(names))
    body = ''.join(sections)
    links = ''.join(f'<li><a href="#run-{i}">{_text(name)}</a></li>'
                    for i, name in enumerate(names))
    return f'''<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<h1>What the layers see</h1>
<nav><ul>{links}</ul></nav>
{body}</body>
</html>
'''


def _overview(logs, names):
    target = summarize(logs[names[0]])['best']
    rows = []
    for name, log in logs.items():
        found = summarize(log, target)
        rows.append([
            name, found['steps'], *(
                None if value is None else f'{value:.4f}'
                for value in (*found['quarters'], found['last'])),
            found['steps_to_target'] or 'not reached'])
    titles = ('run', 'steps', '1/4', '2/4', '3/4', '4/4', 'last',
              'steps to best')
    return (
        f'<section><h2>Runs</h2><p>Best test accuracy up to each quarter of '
        f'the run, the last, and the steps to reach the best of '
        f'{_text(names[0])} ({target:.4f}).</p>{_table(titles, rows)}'
        f'{_curves(logs)}</section>\n')


def _curves(logs):
    from matplotlib import rc_context
    with tempfile.TemporaryDirectory() as folder, rc_context(
            drawing.PAGE_STYLE):
        path = os.path.join(folder, 'curves.svg')
        draw_curves(logs, path)
        with open(path) as file:
            picture = drawing.for_page(file.read())
    return _figure(picture, 'Loss and accuracy', 'Training is drawn thin, '
                   'test thick.', True)


def _run(number, name, folder, run, layers, table):
    parts = [f'<section id="run-{number}"><h2>{_text(name)}</h2>',
             _settings(folder, run.settings),
             _table(summary.TITLES, map(summary.cells, table)),
             f'<p class="note">{_text(summary.EXPLANATION)}.</p>',
             _warnings(table)]
    shown = {path: layer for path, layer in layers.items()
             if layer.kind is not None}
    recorded = {}
    if not shown:
        parts.append('<p class="note">No layer here has a mixture or modes.'
                     '</p>')
    else:
        try:
            file = record_file(folder)
            recorded = {
                path: theirs for path, theirs
                in recorded_paths(file, None).items() if path in shown}
        except UserError as error:
            parts.append('<p class="note">Nothing over training is shown: '
                         f'{_text(error)}.</p>')
    if recorded:
        parts.append(_figure(
            drawing.page_picture(pictures.effective(file, recorded)),
            'Effective number of components', 'Effective number of '
            'components, or of modes with a mean gate of at least 1 %, over '
            'training.', True))
    displays = {
        'densities': pictures.densities(shown),
        'components': pictures.components(shown, file, recorded)
        if recorded else {},
        'samples': pictures.samples(shown, run.test),
        'classes': pictures.classes(shown, run.test, run.settings),
        'maps': pictures.maps(shown, run.test)}
    for path in shown:
        parts.append(f'<h3>{_text(path)}</h3><div class="row">')
        parts += [
            _figure(drawing.page_picture(found[path]), f'{kind} of {path}',
                    _CAPTIONS[kind], kind in _WIDE)
            for kind, found in displays.items() if path in found]
        parts.append('</div>')
    return ''.join(parts) + '</section>\n'


def _settings(folder, settings):
    found = dict(settings)
    path = os.path.join(folder, run_folder.DESCRIPTION)
    try:
        found.update(
            (f'version of {name}', version) for name, version in
            files.read_json(path, 'a run')['starts'][-1]['versions'].items())
    except (UserError, KeyError, IndexError, TypeError, AttributeError):
        # The snapshot alone tells enough.
        pass
    entries = ''.join(
        f"<div><dt>{_text(key.replace('_', ' '))}</dt>"
        f'<dd>{_text(as_typed(value))}</dd></div>'
        for key, value in found.items() if value is not None)
    return f'<details><summary>Settings</summary><dl>{entries}</dl></details>'


def _warnings(table):
    items = ''.join(
        f"<li>{_text(row['path'])}: {_text(warning)}</li>"
        for row in table for warning in row['warnings'])
    return f'<ul class="warnings">{items}</ul>' if items else ''


def _table(titles, rows):
    def line(tag, cells):
        texts = ('–' if cell is None else _text(cell) for cell in cells)
        return ''.join(f'<{tag}{_alignment(title)}>{text}</{tag}>'
                       for title, text in zip(titles, texts))

    head = line('th', titles)
    body = ''.join(f"<tr>{line('td', row)}</tr>" for row in rows)
    return (f'<div class="scroll"><table><thead><tr>{head}</tr></thead>'
            f'<tbody>{body}</tbody></table></div>')


def _alignment(title):
    return ' class="text"' if title in ('run', 'layer', 'kind') else ''


def _figure(picture, alt, caption, wide):
    address, width, height = picture
    kind = ' class="wide"' if wide else ''
    return (
        f'<figure{kind}><div class="scroll"><img src="{address}" '
        f'alt="{_text(alt)}" width="{width}" height="{height}"></div>'
        f'<figcaption><p>{_text(caption)}</p></figcaption></figure>')
