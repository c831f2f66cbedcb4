"""Whose line raised an exception, which decides whose failure it is."""

import pytest

import mixnorm
from tools.chainer_suite.worker import describe


def _described(code, name, root, **names):
    """Runs code as that of a file, and describes what it raises."""
    with pytest.raises(Exception) as info:
        exec(compile(code, name, 'exec'), names)
    return describe(info.value, str(root))


def test_line_of_a_test(tmp_path):
    test = tmp_path / 'chainer_tests' / 'test_a.py'
    test.parent.mkdir()
    test.write_text('x = []\nx.pop()\n')
    assert _described(test.read_text(), str(test), tmp_path) == {
        'error': 'IndexError', 'message': 'pop from empty list',
        'raised_by': 'chainer_tests/test_a.py:2', 'line': 'x.pop()'}


def test_line_of_the_library(tmp_path):
    """It is not the test's, though the test called it."""
    found = _described('convert(None, "nothing")', str(tmp_path / 'test_a.py'),
                       tmp_path, convert=mixnorm.convert)
    assert found['raised_by'].startswith('mixnorm/')


def test_line_of_another_package(tmp_path):
    """It is done for the test, wherever the package is installed."""
    package = {}
    exec(compile('def f():\n    raise ValueError', '/home/mixnorm/chainer/'
                 '.venv/lib/site-packages/numpy/f.py', 'exec'), package)
    found = _described(
        '\nf()', str(tmp_path / 'test_a.py'), tmp_path, f=package['f'])
    assert found['raised_by'] == 'test_a.py:2'


def test_cause(tmp_path):
    found = _described(
        'try:\n    [].pop()\nexcept IndexError as error:\n'
        '    raise ValueError("wrapped") from error',
        str(tmp_path / 'test_a.py'), tmp_path)
    assert found['error'] == 'IndexError'
    assert found['raised_by'] == 'test_a.py:2'


def test_message_of_a_parameterized_test(tmp_path):
    found = _described(
        'raise ValueError("Parameterized test failed.\\n\\nn: 3\\n\\n'
        '(caused by)\\nValueError: the\\nmessage")', 'a.py', tmp_path)
    assert found['message'] == 'the message'
