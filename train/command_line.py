"""Command lines whose errors are one line and exit status 2."""

import argparse
import math
import os
import signal
import sys

import chainer
from chainer.backends import intel64

from mixnorm import ideep


class UserError(Exception):

    """A mistake of the user's, told in one line that says what to do."""


class ArgumentParser(argparse.ArgumentParser):

    """An argument parser that reports an error in one line."""

    def error(self, message):
        self.exit(2, f'{self.prog}: error: {message}\n')


def folder(text):
    """Returns a folder's name, or raises ArgumentTypeError."""
    if not text or os.path.exists(text) and not os.path.isdir(text):
        raise argparse.ArgumentTypeError(f'must be a folder, not {text!r}')
    return text


def get_device(name):
    """Returns a Chainer device and makes it the current one.

    Args:
        name (str): Chainer's name for the device.

    Raises:
        UserError: If there is no such device here.

    """
    try:
        device = chainer.get_device(name)
        device.use()
    except Exception as error:
        # Chainer, CuPy and the CUDA driver each raise their own.
        raise UserError(f'--device {name} cannot be used: {one_line(error)}')
    return device


def use_ideep(level):
    """Has Chainer use iDeep in this process, or not.

    Args:
        level (str): Chainer's ``use_ideep``: ``'always'``, ``'auto'`` or
            ``'never'``.

    Raises:
        UserError: If a run that was started with it cannot go on with it.

    """
    if level != 'never' and not intel64.is_ideep_available():
        raise UserError(f'the run was started with --use-ideep {level}, and '
                        f'keeps it: {ideep.reason_unavailable()}')
    chainer.global_config.use_ideep = level


def one_line(error):
    """Returns an error's message without line breaks."""
    return ' '.join(str(error).split())


def option(name):
    """Returns the command line option of a setting."""
    return f"--{name.replace('_', '-')}"


def as_typed(value):
    """Returns a setting's value as one types it."""
    if isinstance(value, list):
        return ' '.join(map(str, value))
    if isinstance(value, dict):
        return ' '.join(f'{k}={v}' for k, v in value.items()) or 'none'
    return 'none' if value is None else str(value)


def exit_status(main, prog):
    """Runs a script's main function and turns user errors into a line.

    Args:
        main (callable): Takes nothing and returns an exit status.
        prog (str): Name of the script, for the message.

    Returns:
        int: What ``main`` returned; 2 after a user error, an error of the
        operating system, such as a full disk, or for want of memory; 130
        after Ctrl-C; 141 where nobody reads the output any more.

    """
    try:
        status = main()
        sys.stdout.flush()
        return status
    except UserError as error:
        message = str(error)
    except BrokenPipeError:
        # Who reads the output, such as head, has enough of it. Python would
        # try once more to write the rest, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as error:
        message = str(error.strerror or error) + (
            f': {error.filename}' if error.filename else '')
    except MemoryError as error:
        message = str(error) or 'out of memory'
    except KeyboardInterrupt:
        return 130
    sys.stderr.write(f'{prog}: error: {message}\n')
    return 2


def _number(kind, allowed, is_allowed):
    def parse(text):
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not math.isfinite(value) or not is_allowed(value):
            raise argparse.ArgumentTypeError(
                f'must be {allowed}, not {text!r}')
        return value
    return parse


positive_int = _number(int, 'an integer of at least 1', lambda v: v >= 1)
non_negative_int = _number(
    int, 'an integer of at least 0', lambda v: v >= 0)
positive_float = _number(float, 'a number above 0', lambda v: v > 0)
non_negative_float = _number(
    float, 'a number of at least 0', lambda v: v >= 0)
share = _number(float, 'a number in [0, 1)', lambda v: 0 <= v < 1)
factor = _number(float, 'a number in (0, 1]', lambda v: 0 < v <= 1)
seed = _number(int, 'an integer in [0, 2**32)', lambda v: 0 <= v < 2 ** 32)


def epochs(text):
    """Returns a number of epochs, as an integer where it is one."""
    value = positive_float(text)
    return int(value) if value == int(value) else value
