"""Runs Chainer's own tests under mixnorm and tells what fails, and why.

    python -m tools.chainer_suite chainer-7.8.1
    python -m tools.chainer_suite chainer-7.8.1 --part chainer --jobs 4
    python -m tools.chainer_suite chainer-7.8.1 -k normalization \\
        chainer_tests/links_tests
    python -m tools.chainer_suite --from result/chainer_suite.jsonl

Mixnorm is imported before Chainer, and each file of tests is run in a process
of its own. Failures are held against the list in known.py. The exit status is
0 where all are on it, 1 where one is not, 2 after bad input.
"""

import argparse
import collections
import importlib.util
import signal
import sys

from tools.chainer_suite import outcomes
from tools.chainer_suite import report
from tools.chainer_suite.checkout import (
    find_files, find_tests, PARTS, VERSION)
from tools.chainer_suite.judging import Verdict
from tools.chainer_suite.known import KNOWN
from tools.chainer_suite.running import mpi_problem, Runner
from train import command_line
from train.command_line import UserError


def main(argv=None):
    """Runs the tests and prints what became of them.

    Args:
        argv (list of str or None): The arguments; ``None`` for the process's.

    Returns:
        int: Exit status.

    """
    parser = command_line.ArgumentParser(
        prog='python -m tools.chainer_suite', description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        'path', metavar='PATH', nargs='?',
        help='a checkout of Chainer 7.8.1, or its folder tests')
    parser.add_argument(
        'tests', metavar='TEST', nargs='*', help='what to run of it, as '
        'pytest takes it: folders, files or FILE::TEST, in the folder tests')
    parser.add_argument('-k', metavar='EXPRESSION', dest='keyword',
                        help="only tests with such names, as pytest's -k")
    parser.add_argument(
        '--part', dest='parts', metavar='PART', action='append',
        choices=PARTS, help='what to run, of %(choices)s; may be given again '
        '(default: all)')
    parser.add_argument(
        '--jobs', type=command_line.positive_int, default=1,
        help='how many files to run at a time (default: %(default)s)')
    parser.add_argument(
        '--time-limit', metavar='SECONDS', type=command_line.positive_float,
        default=1800, help='for a file (default: %(default)s)')
    parser.add_argument(
        '--plain', action='store_true',
        help='without mixnorm, on an installation as old as Chainer')
    parser.add_argument(
        '--out', metavar='FILE', default='result/chainer_suite.jsonl',
        help='where to keep the outcomes (default: %(default)s)')
    parser.add_argument(
        '--from', dest='kept', metavar='FILE',
        help='run nothing, judge the outcomes in this file')
    args = parser.parse_intermixed_args(argv)
    return command_line.exit_status(lambda: _main(args), parser.prog)


def _main(args):
    if (args.path is None) == (args.kept is None):
        raise UserError('give either PATH or --from')
    if importlib.util.find_spec('pytest') is None:
        raise UserError('pytest is not installed: pip install pytest')
    path = args.kept
    if path is None:
        path = args.out
        _run(args)
    header, entries = outcomes.read(path)
    verdicts = {name: Verdict(KNOWN, header['versions'])
                for name in header['parts']}
    for entry in entries:
        verdicts[entry['part']].add(entry)
    remarks = header['remarks']
    if len(entries) < header['n_files']:
        remarks.append(f"the run was stopped after {len(entries)} of "
                       f"{header['n_files']} files")
    print(report.as_text(header['versions'], verdicts, remarks))
    return int(any(verdict.unexpected for verdict in verdicts.values()))


def _run(args):
    """Runs the tests and keeps their outcomes in a file."""
    tests = find_tests(args.path)
    versions = outcomes.versions()
    if versions['chainer'] != VERSION:
        raise UserError(f"Chainer {versions['chainer']} is installed: it must "
                        f'be {VERSION}')
    jobs, remarks = [], []
    for part in (PARTS[name] for name in dict.fromkeys(args.parts or PARTS)):
        files = find_files(tests, part, args.tests)
        problem = files and _problem(part)
        if problem:
            remarks.append(f'{part.name} is not run: {problem}')
        else:
            jobs += [(part, file) for file in files]
    for remark in remarks:
        _progress(remark)
    parts = list(dict.fromkeys(part.name for part, _ in jobs))
    writer = outcomes.Writer(args.out, {
        'versions': versions, 'parts': parts, 'n_files': len(jobs),
        'remarks': remarks, 'tests': args.tests, 'keyword': args.keyword,
        'plain': args.plain})
    runner = Runner(tests, args.keyword, not args.plain, args.time_limit)
    # What was started is ended in either case.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    n_tests = 0
    for i, entry in enumerate(runner.run(jobs, args.jobs), 1):
        writer.write(entry)
        n_tests += len(entry['tests'])
        counts = collections.Counter(
            outcome['outcome'] for outcome in entry['tests'])
        _progress(f"{i}/{len(jobs)} {entry['part']}: {entry['file']}: "
                  + (', '.join(f'{n} {outcome}'
                               for outcome, n in counts.items())
                     or 'none chosen'))
    if not n_tests:
        raise UserError('no test was run' + ''.join(
            f'; {remark}' for remark in remarks))
    writer.close()


def _problem(part):
    """Returns why a part cannot be run, ``None`` if it can."""
    for package in part.packages:
        if importlib.util.find_spec(package) is None:
            return f'{package} is not installed'
    return mpi_problem() if part.n_processes > 1 else None


def _progress(line):
    sys.stderr.write(f'{line}\n')
    sys.stderr.flush()


if __name__ == '__main__':
    sys.exit(main())
