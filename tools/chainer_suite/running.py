"""Runs files of tests, each in processes of its own, several at a time."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from concurrent import futures

from tools.chainer_suite.known import lost_name


_ROOT = pathlib.Path(__file__).resolve().parents[2]

# Chainer's tests are written for one thread each, and small.
_ENVIRONMENT = {
    'PYTHONPATH': os.pathsep.join(
        filter(None, [str(_ROOT), os.environ.get('PYTHONPATH')])),
    'MPLBACKEND': 'agg', 'OMP_NUM_THREADS': '1',
    'CHAINER_TEST_GPU_LIMIT': '0',
    # What else is installed is not to have a say, such as another order.
    'PYTEST_DISABLE_PLUGIN_AUTOLOAD': '1',
    # Open MPI does not start as root without both.
    'OMPI_ALLOW_RUN_AS_ROOT': '1', 'OMPI_ALLOW_RUN_AS_ROOT_CONFIRM': '1',
    # A process that waits is not to hold the core that the other needs.
    'OMPI_MCA_mpi_yield_when_idle': '1'}


class Runner:

    """Runs files of tests.

    Args:
        tests (str): The folder of the tests.
        keyword (str or None): Pytest's ``-k``.
        with_mixnorm (bool): Whether mixnorm is imported before Chainer.
        time_limit (float): What a file may take, in seconds.

    """

    def __init__(self, tests, keyword, with_mixnorm, time_limit):
        self._tests = tests
        self._keyword = keyword
        self._with_mixnorm = with_mixnorm
        self._time_limit = time_limit
        self._processes = set()
        self._stopped = threading.Event()

    def run(self, jobs, n_jobs):
        """Runs files, and yields the outcomes of each when it is done.

        Args:
            jobs (list of tuple): Pairs of a part and a file of it, or of
                what pytest takes in its place.
            n_jobs (int): How many run at a time.

        Yields:
            dict: Name of the ``part``, the ``file``, the number of tests
            ``left_out`` by mark, and the outcomes of its ``tests``.

        """
        with futures.ThreadPoolExecutor(n_jobs) as executor:
            waiting = [executor.submit(self._run_file, *job) for job in jobs]
            try:
                for done in futures.as_completed(waiting):
                    yield done.result()
            finally:
                self._stopped.set()
                for future in waiting:
                    future.cancel()
                for process in list(self._processes):
                    _kill(process)

    def _run_file(self, part, file):
        left_out, outcomes = self._run_all(part, file)
        lost = {}
        if self._with_mixnorm:
            lost = {outcome['id']: lost_name(outcome['failure'])
                    for outcome in outcomes if 'failure' in outcome}
            lost = {id_: name for id_, name in lost.items() if name}
        if lost:
            # What else there may be behind the name is seen once NumPy has
            # the name again. A file that could not be loaded has no ids yet.
            name_of_file = lost.get(file.partition('::')[0])
            left_out_again, again = self._run_all(
                part, file, with_names=True,
                only=None if name_of_file else list(lost))
            if name_of_file:
                left_out = left_out_again
            for outcome in again:
                outcome['lost_name'] = name_of_file or lost.get(
                    outcome['id'])
            outcomes = again + [outcome for outcome in outcomes
                                if outcome['id'] not in lost]
        return {'part': part.name, 'file': file, 'left_out': left_out,
                'tests': outcomes}

    def _run_all(self, part, file, with_names=False, only=None):
        """Runs the tests of a file, those after a crash in a new process."""
        left_out, outcomes = {}, []
        while not self._stopped.is_set():
            request = {
                'tests': os.path.join(self._tests, file),
                'root': self._tests, 'mark': part.mark,
                'left_out': part.left_out, 'keyword': self._keyword,
                'only': only, 'done': [one['id'] for one in outcomes],
                'with_mixnorm': self._with_mixnorm, 'with_names': with_names,
                'n_processes': part.n_processes}
            reports, end = self._start(part.n_processes, request)
            ended = _merge(reports)
            outcomes += ended
            for event in reports[0]:
                if event['event'] == 'collected':
                    left_out = event['left_out']
            if all(map(_is_whole, reports)):
                break
            stopped = _stopped(reports, end)
            if stopped is not None:
                outcomes.append(stopped)
            elif not ended:
                outcomes.append(_crash(file, end))
                break
        return left_out, outcomes

    def _start(self, n_processes, request):
        """Runs a request, in several processes under ``mpiexec``.

        Returns:
            tuple: The events that each process reported, and how they ended.

        """
        with tempfile.TemporaryDirectory() as folder:
            command = []
            for rank in range(n_processes):
                path = os.path.join(folder, f'request-{rank}')
                report = os.path.join(folder, f'report-{rank}')
                with open(path, 'w') as file:
                    json.dump(dict(request, report=report), file)
                if n_processes > 1:
                    command += [':'] if rank else [
                        mpiexec(), '--oversubscribe']
                    command += ['-n', '1']
                command += [
                    sys.executable, '-m', 'tools.chainer_suite.worker', path]
            end = self._wait(command, folder)
            return [_read(os.path.join(folder, f'report-{rank}'))
                    for rank in range(n_processes)], end

    def _wait(self, command, folder):
        """Runs a command in a session of its own and says how it ended."""
        output = os.path.join(folder, 'output')
        # Some tests write beside where they are started.
        where = os.path.join(folder, 'work')
        os.mkdir(where)
        with open(output, 'w') as file:
            process = subprocess.Popen(
                command, cwd=where, env={**os.environ, **_ENVIRONMENT},
                stdin=subprocess.DEVNULL, stdout=file,
                stderr=subprocess.STDOUT, start_new_session=True)
        self._processes.add(process)
        if self._stopped.is_set():
            _kill(process)
        try:
            status = process.wait(self._time_limit)
        except subprocess.TimeoutExpired:
            return f'took longer than {self._time_limit:g} s'
        finally:
            _kill(process)
            self._processes.discard(process)
        with open(output, errors='replace') as file:
            last = ' '.join(file.read()[-500:].split())
        if status < 0:
            return f'ended by {signal.Signals(-status).name}: {last}'
        return f'ended with exit status {status}: {last}'


def _kill(process):
    """Ends a process and all that it started."""
    process.terminate()  # at which mpiexec ends the others
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        pass
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def _read(path):
    if not os.path.exists(path):
        return []
    with open(path) as file:
        return [json.loads(line) for line in file if line.endswith('\n')]


def _is_whole(report):
    """Returns whether pytest came to its end and had nothing to complain of.

    It ends with 1 or 2 where tests fail or cannot be loaded, and with 5 where
    there is none.
    """
    return (bool(report) and report[-1]['event'] == 'finished'
            and report[-1]['status'] in (0, 1, 2, 5))


def _ended(report):
    return {event['test']['id']: event['test'] for event in report
            if event['event'] == 'ended'}


def _merge(reports):
    """Returns one outcome of each test that has ended in every process.

    A failure counts before what is skipped, and that before a pass.
    """
    order = ('failed', 'skipped', 'passed')
    ended = [_ended(report) for report in reports]
    return [min((tests[id_] for tests in ended),
                key=lambda outcome: order.index(outcome['outcome']))
            for id_ in ended[0] if all(id_ in tests for tests in ended)]


def _stopped(reports, end):
    """Returns the outcome of the test that no further one ran after.

    It has failed in one process, which ended the others; or else it is the
    first that has started and not ended.
    """
    ended = [_ended(report) for report in reports]
    started = [event['id'] for event in reports[0]
               if event['event'] == 'started']
    unfinished = [id_ for id_ in started
                  if not all(id_ in tests for tests in ended)]
    for id_ in unfinished:
        for tests in ended:
            if 'failure' in tests.get(id_, {}):
                return tests[id_]
    return _crash(unfinished[0], end) if unfinished else None


def _crash(id_, end):
    return {'id': id_, 'outcome': 'failed',
            'failure': {'error': 'crash', 'message': end, 'raised_by': '',
                        'line': ''}}


def mpiexec():
    """Returns the path of ``mpiexec``, or ``None``."""
    # That of the virtual environment, if it has one.
    return shutil.which('mpiexec', path=os.pathsep.join(
        [os.path.dirname(sys.executable), os.environ.get('PATH', '')]))


def mpi_problem():
    """Returns why MPI cannot start two processes, ``None`` if it can."""
    if mpiexec() is None:
        return 'there is no mpiexec'
    try:
        trial = subprocess.run(
            [mpiexec(), '-n', '2', '--oversubscribe', sys.executable, '-c',
             'import mpi4py.MPI'], env={**os.environ, **_ENVIRONMENT},
            capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        return 'MPI does not start within 120 s'
    return 'MPI cannot start: ' + ' '.join(
        trial.stderr.split()) if trial.returncode else None
