import pytest

from mixnorm.compat.repairs import numpy_has
from tools.chainer_suite import running
from tools.chainer_suite.checkout import PARTS
from tools_tests.chainer_suite_tests.trees import write_tree


def _run(tests, *files, part='chainer', with_mixnorm=False, time_limit=300,
         keyword=None, n_jobs=1):
    runner = running.Runner(tests, keyword, with_mixnorm, time_limit)
    return {entry['file']: entry for entry in runner.run(
        [(PARTS[part], file) for file in files], n_jobs)}


def _outcomes(entry):
    return {test['id'].partition('::')[2]: test['outcome']
            for test in entry['tests']}


def test_outcomes(tmp_path):
    file = 'chainer_tests/test_a.py'
    tests = write_tree(tmp_path, {file: '''\
        import unittest
        import pytest

        def test_passes():
            pass

        @pytest.mark.xfail
        def test_fails_as_it_should():
            assert False

        @pytest.mark.parametrize('n', [1, 2])
        def test_fails(n):
            try:
                [][n]
            except IndexError as error:
                raise AssertionError('wrapped') from error

        def test_skips():
            pytest.skip('no reason')

        @pytest.fixture
        def broken():
            yield
            raise ValueError('teardown')

        def test_teardown(broken):
            pass

        @pytest.mark.gpu
        def test_gpu():
            pass

        class TestSlow(unittest.TestCase):

            @pytest.mark.slow
            def test_slow(self):
                pass

            @pytest.mark.ideep
            @pytest.mark.gpu
            def test_both(self):
                pass
        '''})
    entry = _run(tests, file)[file]
    assert entry['part'] == 'chainer'
    assert entry['left_out'] == {'gpu': 2, 'slow': 1}
    assert _outcomes(entry) == {
        'test_passes': 'passed', 'test_fails_as_it_should': 'passed',
        'test_fails[1]': 'failed', 'test_fails[2]': 'failed',
        'test_skips': 'skipped', 'test_teardown': 'failed'}
    found = {test['id']: test for test in entry['tests']}
    assert found[f'{file}::test_skips']['reason'] == 'Skipped: no reason'
    assert found[f'{file}::test_fails[1]']['failure'] == {
        'error': 'IndexError', 'message': 'list index out of range',
        'raised_by': f'{file}:14', 'line': '[][n]'}
    assert found[f'{file}::test_teardown']['failure']['error'] == 'ValueError'
    # The folder's name, which has digits as well, does not count.
    entry = _run(tests, f'{file}::test_fails', keyword='2')
    assert _outcomes(entry[f'{file}::test_fails']) == {
        'test_fails[2]': 'failed'}


def test_crash_and_hang_lose_no_other_test(tmp_path):
    tests = write_tree(tmp_path, {
        'chainer_tests/test_crash.py': '''\
            import os

            def test_before():
                pass

            def test_crash():
                os.abort()

            def test_after():
                pass
            ''',
        'chainer_tests/test_hang.py': '''\
            import time

            def test_hang():
                time.sleep(1000)

            def test_after():
                pass
            ''',
        'chainer_tests/test_load.py': 'import nowhere_to_be_found',
        'chainer_tests/test_exit.py': 'import os; os._exit(3)'})
    names = ['crash', 'hang', 'load', 'exit']
    files = [f'chainer_tests/test_{name}.py' for name in names]
    found = _run(tests, *files, time_limit=8, n_jobs=4)
    crash, hang, load, exit_ = (found[file] for file in files)
    assert _outcomes(crash) == {
        'test_before': 'passed', 'test_crash': 'failed',
        'test_after': 'passed'}
    assert _outcomes(hang) == {'test_hang': 'failed', 'test_after': 'passed'}
    assert _outcomes(load) == _outcomes(exit_) == {'': 'failed'}
    messages = [entry['tests'][i]['failure']['message']
                for entry, i in ((crash, 1), (hang, 0), (load, 0),
                                 (exit_, 0))]
    assert messages[0].startswith('ended by SIGABRT')
    assert messages[1] == 'took longer than 8 s'
    assert messages[2] == "No module named 'nowhere_to_be_found'"
    assert messages[3].startswith('ended with exit status 3')


@pytest.mark.skipif(numpy_has('int'), reason='NumPy has the names')
def test_lost_names(tmp_path):
    tests = write_tree(tmp_path, {
        'chainer_tests/test_a.py': '''\
            import numpy

            def test_name():
                numpy.int(1)

            def test_name_and_more():
                assert numpy.int(1) == 2

            def test_none():
                pass
            ''',
        'chainer_tests/test_b.py': '''\
            import numpy
            import pytest
            import sys

            dtype = numpy.int

            @pytest.mark.gpu
            def test_gpu():
                pass

            def test_it():
                # Chainer could not be imported otherwise.
                assert 'mixnorm' in sys.modules
            '''})
    files = ['chainer_tests/test_a.py', 'chainer_tests/test_b.py']
    found = _run(tests, *files, with_mixnorm=True, n_jobs=2)
    assert [found[file]['left_out'] for file in files] == [{}, {'gpu': 1}]
    assert {test['id'].partition('::')[2]:
            (test['outcome'], test.get('lost_name'))
            for file in files for test in found[file]['tests']} == {
        'test_name': ('passed', 'numpy.int'),
        'test_name_and_more': ('failed', 'numpy.int'),
        'test_none': ('passed', None), 'test_it': ('passed', 'numpy.int')}
    assert [test['failure']['message'].split('\n')[0][:13]
            for test in found[files[0]]['tests'] if 'failure' in test] == [
        'assert 1 == 2']


def test_failure_of_one_of_two_processes(tmp_path):
    pytest.importorskip('mpi4py')
    if running.mpi_problem():
        pytest.skip(running.mpi_problem())
    file = 'chainermn_tests/test_a.py'
    tests = write_tree(tmp_path, {file: '''\
        from mpi4py import MPI

        rank = MPI.COMM_WORLD.rank

        def test_size():
            assert MPI.COMM_WORLD.size == 2

        def test_first():
            assert rank == 1
            MPI.COMM_WORLD.barrier()

        def test_after():
            MPI.COMM_WORLD.barrier()
        '''})
    entry = _run(tests, file, part='chainermn')[file]
    assert _outcomes(entry) == {
        'test_size': 'passed', 'test_first': 'failed', 'test_after': 'passed'}
    assert entry['tests'][1]['failure']['raised_by'] == f'{file}:9'
