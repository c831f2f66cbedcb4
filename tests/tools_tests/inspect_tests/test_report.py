import base64
import html.parser
import json
import os
import re
import shutil
import subprocess
import xml.etree.ElementTree

import pytest

pytest.importorskip('matplotlib')

_BROWSER = next(filter(None, map(shutil.which, (
    'chromium', 'chromium-browser', 'google-chrome', 'chrome'))), None)


class _Page(html.parser.HTMLParser):

    """Collects what a page consists of."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.addresses, self.images = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append(tag)
        if tag == 'img':
            self.images.append(attributes)
        self.addresses += [attributes[name] for name in (
            'src', 'href', 'srcset', 'data', 'action') if name in attributes]


@pytest.fixture(scope='module')
def page(runs, tmp_path_factory):
    """The report on a run of each kind."""
    from tools.inspect import __main__
    out = tmp_path_factory.mktemp('report')
    assert __main__.main(['report', *(
        str(runs / name) for name in ('batch', 'mixture', 'mode')),
        '--where', 'conv1', '--out', str(out)]) == 0
    assert [path.name for path in out.iterdir()] == ['report.html']
    return out / 'report.html'


_IMAGES = ['Loss and accuracy', *(
    alt for kinds in (
        ['densities', 'components', 'samples', 'classes', 'maps'],
        ['densities', 'components', 'samples', 'classes'])
    for alt in ['Effective number of components',
                *(f'{kind} of /conv1/norm' for kind in kinds)])]


def test_page_is_whole_in_itself(page):
    text = page.read_text()
    found = _Page(text)
    assert 'script' not in found.tags
    assert all(address.startswith(('data:', '#'))
               for address in found.addresses)
    assert not re.search(r'url\(|@import', text)
    assert [image['alt'] for image in found.images] == _IMAGES
    assert page.stat().st_size < 10e6


def test_pictures_are_whole_in_themselves(page):
    for image in _Page(page.read_text()).images:
        head, _, data = image['src'].partition(',')
        assert head == 'data:image/svg+xml;base64'
        svg = base64.b64decode(data).decode()
        root = xml.etree.ElementTree.fromstring(svg)
        for element in root.iter():
            for name, value in element.attrib.items():
                if name.endswith('href'):
                    assert value.startswith(('#', 'data:'))
        # Letters follow the colour scheme.
        assert 'currentColor' in svg and 'prefers-color-scheme: dark' in svg


def test_tables_and_settings(page, runs, inspect):
    text = page.read_text()
    for name in ('mixture', 'mode'):
        row, = json.loads(inspect(
            'summary', runs / name, '--json', '--where', 'conv1')[1])
        assert f"<td>{row['test_difference']:.2f}</td>" in text
    assert '<dt>widths</dt><dd>4 4 4 8</dd>' in text
    assert 'No layer here has a mixture or modes.' in text
    log = json.loads((runs / 'mode' / 'log').read_text())
    assert f"<td>{log[-1]['validation/main/accuracy']:.4f}</td>" in text


def test_run_without_a_record_is_shown_without_its_past(
        runs, inspect, tmp_path):
    shutil.copytree(runs / 'mixture', tmp_path / 'a<b')
    (tmp_path / 'a<b' / 'mixture.npz').unlink()
    status, output, errors = inspect(
        'report', tmp_path / 'a<b', '--where', 'conv2', '--json')
    assert status == 0, errors
    path = tmp_path / 'report.html'
    found = json.loads(output)
    assert found['files'] == [str(path)]
    assert [row['path'] for row in found['runs']['a<b']] == ['/conv2/norm']
    text = path.read_text()
    assert 'a&lt;b' in text and 'a<b' not in text
    assert 'Nothing over training is shown' in text
    assert [image['alt'] for image in _Page(text).images][1:] == [
        f'{kind} of /conv2/norm'
        for kind in ('densities', 'samples', 'classes', 'maps')]


# Tells what a browser found: pictures that it drew, and whether the page is
# wider than the window.
_LOOK = '''<script>addEventListener('load', () => {
  const images = [...document.images];
  parent.postMessage({
    drawn: images.filter(i => i.complete && i.naturalWidth > 0).length,
    seen: images.filter(i => i.getBoundingClientRect().height > 40).length,
    width: innerWidth, content: document.documentElement.scrollWidth,
    background: getComputedStyle(document.body).backgroundColor,
    requests: performance.getEntriesByType('resource')
      .filter(e => !e.name.startsWith('data:')).length}, '*');
});</script>'''

# A window is not as narrow as a phone; a frame is.
_FRAMES = '''<body><script>
const found = [];
addEventListener('message', e => {
  found.push(e.data); document.title = JSON.stringify(found); });
</script>
<iframe src="page.html" style="border:0;width:390px;height:900px"></iframe>
<iframe src="page.html" style="border:0;width:1440px;height:900px"></iframe>
'''


@pytest.mark.skipif(_BROWSER is None, reason='there is no Chromium here')
@pytest.mark.parametrize('dark', [False, True])
def test_in_a_browser(dark, page, tmp_path):
    (tmp_path / 'page.html').write_text(
        page.read_text().replace('</head>', f'{_LOOK}</head>'))
    (tmp_path / 'frames.html').write_text(_FRAMES)
    done = subprocess.run(
        [_BROWSER, '--headless', '--no-sandbox', '--disable-gpu',
         '--enable-logging=stderr', '--window-size=1500,1000',
         f'--user-data-dir={tmp_path}/profile', '--virtual-time-budget=5000',
         f'--blink-settings=preferredColorScheme={0 if dark else 1}',
         '--dump-dom', (tmp_path / 'frames.html').as_uri()],
        capture_output=True, text=True, timeout=120,
        env=dict(os.environ, HOME=str(tmp_path)))
    title = re.search('<title>(.*?)</title>', done.stdout, re.DOTALL)
    assert title, done.stderr
    found = sorted(json.loads(title[1]), key=lambda one: one['width'])
    assert [one['width'] for one in found] == [390, 1440]
    for one in found:
        assert one['drawn'] == one['seen'] == len(_IMAGES)
        assert one['content'] <= one['width']
        assert one['requests'] == 0
        assert one['background'] == (
            'rgb(13, 17, 23)' if dark else 'rgb(255, 255, 255)')
    assert 'CONSOLE' not in done.stderr


def test_run_that_is_not_there(inspect, tmp_path):
    status, output, errors = inspect('report', tmp_path / 'nowhere')
    assert (status, output) == (2, '')
    assert f"{tmp_path / 'nowhere'} holds no training run" in errors
