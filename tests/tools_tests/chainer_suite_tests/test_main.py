import pytest

from tools.chainer_suite import __main__ as chainer_suite
from tools.chainer_suite.known import Known, TEST
from tools_tests.chainer_suite_tests.trees import write_tree


@pytest.fixture
def tree(tmp_path):
    write_tree(tmp_path / 'chainer-7.8.1', {
        'chainer_tests/test_a.py': '''\
            def test_good():
                pass

            def test_bad():
                raise ValueError('gone')
            '''})
    return tmp_path


def _main(tree, *arguments):
    return chainer_suite.main([
        str(tree / 'chainer-7.8.1'), '--plain', '--out',
        str(tree / 'found' / 'outcomes'), *arguments])


def _row(output):
    versions, _, titles, row = output.splitlines()[:4]
    assert 'chainer 7.8.1' in versions
    assert titles.split()[:3] == ['part', 'ran', 'passed']
    return row.split()


def test_run_and_judge_again(tree, capsys, monkeypatch):
    assert _main(tree, '--part', 'chainer') == 1
    output, progress = capsys.readouterr()
    assert _row(output) == ['chainer', '2', '1', '1', '0', '0']
    assert ('chainer_tests/test_a.py::test_bad\n'
            '    chainer_tests/test_a.py:5: ValueError: gone') in output
    assert progress == (
        '1/1 chainer: chainer_tests/test_a.py: 1 passed, 1 failed\n')
    again = ['--from', str(tree / 'found' / 'outcomes')]
    assert chainer_suite.main(again) == 1
    assert capsys.readouterr().out == output
    monkeypatch.setattr(chainer_suite, 'KNOWN', (
        Known(TEST, 'the reason', 'ValueError: gone'),))
    assert chainer_suite.main(again) == 0
    output = capsys.readouterr().out
    assert _row(output) == ['chainer', '2', '1', '1', '0', '0', '0']
    assert '1  the test itself: the reason' in output
    assert 'unexpected failures' not in output
    kept = tree / 'found' / 'outcomes'
    kept.write_text(kept.read_text().splitlines()[0] + '\n')
    assert chainer_suite.main(again) == 0
    assert 'stopped after 0 of 1 files' in capsys.readouterr().out


def test_another_chainer(tree, capsys, monkeypatch):
    monkeypatch.setattr(chainer_suite.outcomes, 'versions',
                        lambda: {'chainer': '7.8.0'})
    assert _main(tree) == 2
    assert 'Chainer 7.8.0 is installed' in capsys.readouterr().err


def test_part_that_cannot_run(tree, capsys, monkeypatch):
    folder = tree / 'chainer-7.8.1' / 'tests' / 'onnx_chainer_tests'
    folder.mkdir()
    (folder / 'test_b.py').write_text('def test_c():\n    assert False\n')
    find_spec = chainer_suite.importlib.util.find_spec
    monkeypatch.setattr(
        chainer_suite.importlib.util, 'find_spec',
        lambda name: None if name == 'onnx' else find_spec(name))
    assert _main(
        tree, '--part', 'chainer', '--part', 'onnx', '-k', 'good') == 0
    output, progress = capsys.readouterr()
    assert _row(output)[:3] == ['chainer', '1', '1']
    for text in (output, progress):
        assert 'onnx is not run: onnx is not installed' in text
    # What one asks for and does not get is an error.
    assert _main(tree, '--part', 'onnx') == 2
    assert capsys.readouterr().err.endswith(
        'error: no test was run; onnx is not run: onnx is not installed\n')


@pytest.mark.parametrize('arguments, words', [
    (['nowhere'], 'nowhere has no tests of Chainer'),
    ([], 'give either PATH or --from'),
    (['.', '--from', 'x'], 'give either PATH or --from'),
    (['--from', 'nowhere'], 'there is no nowhere'),
    (['--from', __file__], 'is not a file of outcomes'),
    (['.', '--jobs', '0'], 'must be an integer of at least 1'),
    (['.', '--time-limit', 'x'], 'must be a number above 0'),
    (['.', '--part', 'all'], 'invalid choice')])
def test_bad_input_is_one_line(arguments, words, capsys):
    try:
        status = chainer_suite.main(arguments)
    except SystemExit as error:
        status = error.code
    output, errors = capsys.readouterr()
    assert status == 2 and output == ''
    assert words in errors and errors.count('\n') == 1
    assert errors.startswith('python -m tools.chainer_suite: error: ')


@pytest.mark.parametrize('arguments, words', [
    (['-k', 'no_such'], 'no test was run'),
    (['chainer_tests/test_b.py'], 'there is no ')])
def test_nothing_to_run(tree, arguments, words, capsys):
    (tree / 'found').mkdir()
    earlier = tree / 'found' / 'outcomes'
    earlier.write_text('of another run')
    assert _main(tree, '--part', 'chainer', *arguments) == 2
    assert words in capsys.readouterr().err
    assert earlier.read_text() == 'of another run'


def test_no_pytest(tree, capsys, monkeypatch):
    monkeypatch.setattr(
        chainer_suite.importlib.util, 'find_spec', lambda name: None)
    assert _main(tree) == 2
    assert 'pytest is not installed' in capsys.readouterr().err
