"""Trains one network in several variants, with several seeds each.

    python -m train.compare --out result/digits --seeds 0 1 2 --jobs 2 \\
        --all '--dataset digits --train-size 150' \\
        'batch=--normalizer batch' 'mixture=--normalizer mixture --at conv3'

A variant is a name and arguments of train.classifier. The run of a variant
with a seed writes to OUT/NAME/seed-N. The same command again goes on with what
was stopped, and leaves alone what has ended. tools.tabulate puts the variants
side by side:

    python -m tools.tabulate result/digits/batch result/digits/mixture
"""

import argparse
import multiprocessing
from multiprocessing import connection
import os
import re
import shlex
import signal
import sys
import threading
import time

import mixnorm
from train import classifier
from train import command_line
from train.command_line import positive_int, UserError
from train.loop import files
from train.loop import run_folder
from train.loop import series


# What a run of the comparison printed.
OUTPUT = 'output'


def main(argv=None):
    """Trains as the command line says.

    Args:
        argv (list of str or None): The arguments; ``None`` for the process's.

    Returns:
        int: Exit status.

    """
    parser = command_line.ArgumentParser(
        prog='python -m train.compare', description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        'variants', metavar='NAME=ARGUMENTS', nargs='+',
        help='a variant: its name and its arguments of train.classifier')
    parser.add_argument(
        '--out', metavar='FOLDER', default='result',
        type=command_line.folder,
        help='folder that the runs write to (default: %(default)s)')
    parser.add_argument(
        '--all', metavar='ARGUMENTS', default='', dest='common',
        help='arguments of train.classifier for all variants')
    add_arguments(parser)
    args = parser.parse_args(argv)
    return command_line.exit_status(lambda: _compare(args), parser.prog)


def add_arguments(parser):
    """Adds the arguments of how to run to a parser."""
    parser.add_argument(
        '--seeds', metavar='N', nargs='+', type=command_line.seed,
        default=[0, 1, 2, 3, 4],
        help='a run of each variant with each of these (default: 0 1 2 3 4)')
    parser.add_argument(
        '--jobs', metavar='N', type=positive_int, default=1,
        help='runs at a time; set OMP_NUM_THREADS so that they share the '
        'cores (default: %(default)s)')
    parser.add_argument(
        '--overwrite', action='store_true',
        help='start anew in place of the runs that are there')


def _compare(args):
    variants = {}
    for text in args.variants:
        name, equals, arguments = text.partition('=')
        if not equals or not re.fullmatch(r'[\w.+-]*\w[\w.+-]*', name):
            raise UserError(f'a variant must be NAME=ARGUMENTS, NAME of '
                            f'letters, digits and any of _.+-, not {text!r}')
        if name in variants:
            raise UserError(f'the variant {name} is given twice')
        variants[name] = f'{args.common} {arguments}'
    return run_all(variants, args)


def run_all(variants, args, measure=None):
    """Runs every variant with every seed, several at a time.

    Runs of the first seed come first, so that comparisons can begin.

    Args:
        variants (dict): Maps names to arguments of train.classifier.
        args (argparse.Namespace): ``out``, ``seeds``, ``jobs`` and
            ``overwrite``.
        measure (callable or None): Takes the folder of a run that has ended
            and returns a dictionary of what JSON can hold, which is written to
            the run's ``result.json``, beside the ``'seconds'`` that it took
            since it was last started.

    Returns:
        int: Exit status: 0, or that of the first run that failed, which
        starts no further ones.

    Raises:
        UserError: If arguments are wrong; nothing is written or removed then.

    """
    runs = [_Run(args.out, name, arguments, seed)
            for seed in dict.fromkeys(args.seeds)
            for name, arguments in variants.items()]
    for run in runs:
        run.check()
    for run in runs:
        if args.overwrite:
            run.clear()
        else:
            run.check_saved()
    left = [run for run in runs if not run.has_ended]
    n_ended = len(runs) - len(left)
    if n_ended:
        print(f'{n_ended} of {len(runs)} runs have ended already')
    if left:
        print(f'{len(left)} runs, {min(args.jobs, len(left))} at a time; a '
              'line for each that has ended', flush=True)
    at_work = {}
    status = 0
    obey = signal.signal(
        signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        while at_work or (left and not status):
            while left and not status and len(at_work) < args.jobs:
                run = left.pop(0)
                process = run.start(measure)
                at_work[process.sentinel] = process, run
            for sentinel in connection.wait(list(at_work)):
                process, run = at_work.pop(sentinel)
                process.join()
                if process.exitcode == 0:
                    n_ended += 1
                    print(f'{n_ended} of {len(runs)}: {run.title}: '
                          f'{run.last_line}', flush=True)
                elif not status:
                    status = process.exitcode
                    sys.stderr.write(f'{run.title}: {run.last_line}\n')
    except BaseException:
        for process, _ in at_work.values():
            # Which has it stop after its iteration, with a snapshot.
            process.terminate()
        for process, _ in at_work.values():
            process.join()
        sys.stderr.write('stopped; the same command goes on' + (
            ' without --overwrite\n' if args.overwrite else '\n'))
        raise
    finally:
        signal.signal(signal.SIGTERM, obey)
    return status if status >= 0 else 128 - status


class _Run:

    """The run of a variant with a seed.

    Args:
        out (str): Folder of the comparison.
        name (str): The variant.
        arguments (str): Its arguments of train.classifier.
        seed (int): The seed.

    """

    def __init__(self, out, name, arguments, seed):
        self.title = f'{name}, seed {seed}'
        self._name = name
        self._seed = seed
        self._folder = series.run_folder(os.path.join(out, name), seed)
        try:
            self._arguments = ['--out', self._folder, '--seed', str(seed),
                               *shlex.split(arguments)]
        except ValueError as error:
            raise UserError(f'{name}: {error}')

    def check(self):
        """Raises UserError if its arguments are wrong."""
        try:
            args, given = classifier.SETTINGS.parse(self._arguments)
            self._settings = classifier.SETTINGS.complete(given)
        except UserError as error:
            raise UserError(f'{self._name}: {error}')
        if (args.resume or args.overwrite or args.list_recipes
                or (args.out, given['seed']) != (self._folder, self._seed)):
            raise UserError(
                f'{self._name}: a variant has no --out, --seed, --resume, '
                '--overwrite or --list-recipes of its own')

    def check_saved(self):
        """Raises UserError if another run is in its place."""
        path = self._path(run_folder.DESCRIPTION)
        if os.path.exists(path):
            saved = classifier.SETTINGS.check_saved(
                files.read_json(path, 'a run').get('settings'),
                f'{path} is not that of a run of train.classifier')
            # What a run found out itself is no argument.
            if dict(saved, image_set=None,
                    n_workers=None) != self._settings:
                raise UserError(
                    f'{self._folder} holds a run with other settings: '
                    '--overwrite starts anew in its place, or choose another '
                    '--out')

    @property
    def has_ended(self):
        return os.path.exists(self._path(series.RESULT))

    def clear(self):
        """Removes what a run before left."""
        files.remove(self._folder, [series.RESULT, OUTPUT])
        run_folder.clear(self._folder)

    def start(self, measure):
        """Starts it, or goes on with it, in a process.

        Args:
            measure (callable or None): See :func:`run_all`.

        Returns:
            multiprocessing.Process: The process.

        """
        os.makedirs(self._folder, exist_ok=True)
        with open(self._path(OUTPUT), 'a', buffering=1) as output:
            # A fork inherits what has been imported and changed.
            process = multiprocessing.get_context('fork').Process(
                target=self._run, args=(measure, output))
            process.start()
        return process

    def _run(self, measure, output):
        # Ctrl-C is for the process that started this one, which then has it
        # stop.
        os.setpgrp()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        # If that is killed, nobody tells this one.
        threading.Thread(target=_stop_with_parent, daemon=True).start()
        # Whatever is printed goes there, up to a traceback.
        sys.stdout = sys.stderr = output
        for descriptor in (1, 2):
            os.dup2(output.fileno(), descriptor)
        started = time.monotonic()
        if os.path.exists(self._path(run_folder.SNAPSHOT)):
            arguments = ['--resume', '--out', self._folder]
        else:
            arguments = [*self._arguments, '--overwrite']
        status = classifier.main(arguments)
        if status == 0:
            found = {'seconds': time.monotonic() - started}
            if measure is not None:
                found.update(measure(self._folder))
            files.write_json(self._path(series.RESULT), found)
        sys.exit(status)

    @property
    def last_line(self):
        """The last line that it printed."""
        with open(self._path(OUTPUT)) as file:
            lines = file.read().strip().splitlines()
        return lines[-1] if lines else ''

    def _path(self, name):
        return os.path.join(self._folder, name)


def _stop_with_parent():
    # Two processes would write to one folder once the command is given again.
    # Signals are the main thread's.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    multiprocessing.parent_process().join()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == '__main__':
    mixnorm.keep_memory()
    sys.exit(main())
