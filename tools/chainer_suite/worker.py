"""Runs the tests of one file under pytest and writes down what became of them.

    python -m tools.chainer_suite.worker REQUEST

Each file has an interpreter of its own, so that one that crashes or hangs
takes no other with it. The request is a file of JSON:

- ``tests``: the file, or what pytest takes in its place.
- ``root``: the folder of the tests.
- ``mark``: the one that tests must have, or ``null``.
- ``left_out``: marks that they must not have.
- ``keyword``: pytest's ``-k``, or ``null``.
- ``only``: the ids that are run, or ``null`` for all.
- ``done``: ids that are not run again.
- ``n_processes``: how many run the file together.
- ``with_mixnorm``: whether mixnorm is imported before Chainer.
- ``with_names``: whether NumPy is given the names that it has lost.
- ``report``: the file to write, a line of JSON for each event.
"""

import collections
import json
import linecache
import os
import re
import sys

import pytest


# Pytest would report a mark that it does not know.
_MARKS = ('chainerx', 'cudnn', 'gpu', 'ideep', 'slow', 'theano',
          'parametrize_device', 'parametrize_device_name')

_UNDER_TEST = ('chainer', 'chainermn', 'chainerx', 'onnx_chainer', 'mixnorm')

_LONGEST_MESSAGE = 600


class Recorder:

    """A plugin of pytest's that chooses tests and writes their outcomes.

    Args:
        request (dict): See the module.
        write (callable): Takes each event as a dictionary.

    """

    def __init__(self, request, write):
        self._request = request
        self._write = write
        self._outcome = None

    def pytest_configure(self, config):
        for mark in _MARKS:
            config.addinivalue_line('markers', f'{mark}: of Chainer')

    def pytest_collection_modifyitems(self, config, items):
        only, done = self._request['only'], self._request['done']
        left_out = collections.Counter()
        kept = []
        for item in items:
            if (item.nodeid in done
                    or only is not None and item.nodeid not in only
                    or self._request['mark'] is not None
                    and not item.get_closest_marker(self._request['mark'])):
                continue
            mark = next((mark for mark in self._request['left_out']
                         if item.get_closest_marker(mark)), None)
            if mark is None:
                kept.append(item)
            else:
                left_out[mark] += 1
        items[:] = kept
        self._write({'event': 'collected', 'left_out': left_out})

    def pytest_runtest_logstart(self, nodeid):
        self._outcome = {'id': nodeid, 'outcome': 'passed'}
        self._write({'event': 'started', 'id': nodeid})

    def pytest_runtest_logreport(self, report):
        # The first phase of setup, call and teardown that fails counts.
        if report.skipped and self._outcome['outcome'] == 'passed':
            if not hasattr(report, 'wasxfail'):
                self._outcome.update(
                    outcome='skipped', reason=_reason(report.longrepr))
        elif report.failed and self._outcome['outcome'] != 'failed':
            self._outcome = {'id': report.nodeid, 'outcome': 'failed',
                             'failure': _failure_of(report)}

    def pytest_runtest_logfinish(self):
        self._write({'event': 'ended', 'test': self._outcome})
        if (self._request['n_processes'] > 1
                and self._outcome['outcome'] == 'failed'):
            # Others would wait for this one for ever.
            from mpi4py import MPI
            MPI.COMM_WORLD.Abort()

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item, call):
        result = yield
        if call.excinfo is not None:
            result.get_result().failure = self._describe(call)

    def pytest_exception_interact(self, node, call, report):
        # The same for a file that cannot be loaded.
        report.failure = self._describe(call)

    def _describe(self, call):
        return describe(call.excinfo.value, self._request['root'])

    def pytest_collectreport(self, report):
        if report.skipped:
            outcome = {'outcome': 'skipped',
                       'reason': _reason(report.longrepr)}
        elif report.failed:
            outcome = {'outcome': 'failed', 'failure': _failure_of(report)}
        else:
            return
        self._write({'event': 'ended',
                     'test': {'id': report.nodeid, **outcome}})


def _failure_of(report):
    # A test that was to fail and passed has no exception.
    return getattr(report, 'failure', None) or {
        'error': 'failed', 'message': str(report.longrepr)[:_LONGEST_MESSAGE],
        'raised_by': '', 'line': ''}


def _reason(longrepr):
    return longrepr[2] if isinstance(longrepr, tuple) else str(longrepr)


def describe(error, root):
    """Describes an exception by what raised it first.

    Args:
        error (Exception): The exception. Where it was raised from another,
            as Chainer's test cases do, that one is described.
        root (str): The folder of the tests.

    Returns:
        dict: Name of the class ``error``, ``message``, ``raised_by``, and the
        ``line`` of source there. ``raised_by`` is the innermost frame of the
        tests', Chainer's or mixnorm's code, as file and line number; what
        NumPy, unittest and others do is done for it.

    """
    while error.__cause__ is not None:
        error = error.__cause__
    raised_by = line = ''
    traceback = error.__traceback__
    while traceback is not None:
        path = traceback.tb_frame.f_code.co_filename
        name = _name(path, root)
        if name:
            raised_by = f'{name}:{traceback.tb_lineno}'
            line = linecache.getline(path, traceback.tb_lineno).strip()
        traceback = traceback.tb_next
    # Chainer puts the parameters of a test before class and message.
    message = re.sub(r'(?s).*\(caused by\)\n\w+: ', '', str(error))
    return {'error': type(error).__name__,
            'message': ' '.join(message.split())[:_LONGEST_MESSAGE],
            'raised_by': raised_by, 'line': line}


def _name(path, root):
    """Returns a short name of a file of the tests or of a library under test.

    Returns:
        str: The path in its folder, empty for another's file.

    """
    path = os.path.abspath(path)
    if path.startswith(os.path.join(root, '')):
        return os.path.relpath(path, root)
    for package in _UNDER_TEST:
        if package in sys.modules:
            folder = os.path.dirname(sys.modules[package].__file__)
            if path.startswith(os.path.join(folder, '')):
                return os.path.relpath(path, os.path.dirname(folder))
    return ''


def main(path):
    """Carries out a request.

    Args:
        path (str): The file that holds it.

    Returns:
        int: Pytest's exit status.

    """
    with open(path) as file:
        request = json.load(file)
    if request['with_mixnorm']:
        import mixnorm
        if request['with_names']:
            mixnorm.compat.restore_numpy_names()
    with open(request['report'], 'a') as report:
        def write(event):
            report.write(json.dumps(event) + '\n')
            # A crash is not to take it along.
            report.flush()

        # No configuration of the checkout's: it would have every warning be
        # an error, and there are more today than there were then.
        arguments = [
            request['tests'], '-c', os.devnull, '--rootdir', request['root'],
            '--confcutdir', request['root'], '-p', 'no:cacheprovider', '-q',
            '--tb=short', '-W', 'default']
        if request['keyword']:
            arguments += ['-k', request['keyword']]
        status = int(pytest.main(arguments, [Recorder(request, write)]))
        write({'event': 'finished', 'status': status})
    return status


if __name__ == '__main__':
    sys.exit(main(sys.argv[1]))
