import pytest

from tools.chainer_suite.checkout import find_files, find_tests, PARTS
from tools_tests.chainer_suite_tests.trees import write_tree
from train.command_line import UserError


def test_checkout_or_its_tests(tmp_path):
    tests = write_tree(tmp_path, {})
    assert find_tests(str(tmp_path)) == find_tests(tests) == tests


def test_tests_alone(tmp_path):
    tests = write_tree(tmp_path, {})
    (tmp_path / 'chainer' / '_version.py').unlink()
    assert find_tests(tests) == tests


@pytest.mark.parametrize('version', ['7.8.0', '7.8.1.post1'])
def test_another_version(tmp_path, version):
    write_tree(tmp_path, {}, version)
    with pytest.raises(UserError, match=f'{version}: it must be 7.8.1'):
        find_tests(str(tmp_path))


def test_no_tests(tmp_path):
    with pytest.raises(UserError, match='no tests of Chainer'):
        find_tests(str(tmp_path / 'nowhere'))


@pytest.mark.parametrize('chosen, found', [
    ([], ['chainer_tests/a/test_1.py', 'chainer_tests/test_2.py']),
    (['chainer_tests/a'], ['chainer_tests/a/test_1.py']),
    (['tests/chainer_tests/a/'], ['chainer_tests/a/test_1.py']),
    (['chainer_tests/test_2.py::A::test_b', 'onnx_chainer_tests'],
     ['chainer_tests/test_2.py::A::test_b']),
    (['onnx_chainer_tests'], [])])
def test_files(tmp_path, chosen, found):
    tests = write_tree(tmp_path, {
        'chainer_tests/a/test_1.py': '', 'chainer_tests/a/helper.py': '',
        'chainer_tests/test_2.py': '', 'onnx_chainer_tests/test_3.py': ''})
    assert find_files(tests, PARTS['chainer'], chosen) == found


def test_file_that_is_not_there(tmp_path):
    tests = write_tree(tmp_path, {})
    with pytest.raises(UserError, match='there is no .*/test_1.py'):
        find_files(tests, PARTS['chainer'], ['chainer_tests/test_1.py'])
