"""Workers that train one model together, as mpiexec starts them."""

import contextlib
import os
import sys

import mixnorm  # NOQA  (makes Chainer importable, so it comes first)
import chainer
import chainer.links as L
from chainer.training.extension import PRIORITY_EDITOR
import numpy

from models.dropout import Dropout
from train.command_line import one_line, option, UserError

# The rank of the one that prints and writes files.
_FIRST = 0

# They average over mini-batches, and each worker would over its own shares.
_AVERAGING = 'batch_instance', 'batch_renorm'


def check_use(settings):
    """Raises UserError if workers cannot share what settings say.

    Args:
        settings (dict): All settings.

    """
    name = settings['communicator']
    if name is None:
        return
    if name != 'naive' and settings['device'].startswith('@numpy'):
        raise UserError(f'--communicator {name} needs a GPU, such as --device '
                        '@cupy:0; --communicator naive does not')
    if settings['normalizer'] in _AVERAGING:
        raise UserError(
            f"--normalizer {settings['normalizer']} keeps averages of each "
            "worker's share of a batch: with --communicator, choose another")


def start(settings, prog):
    """Makes the workers' communicator.

    From here on only the first worker prints.

    Args:
        settings (dict): All settings.
        prog (str): Name of the script, for messages.

    Returns:
        tuple: The communicator, ``None`` without workers; and the settings,
        in which ``'n_workers'`` tells how many there are and ``'device'``
        which GPU is this worker's.

    Raises:
        UserError: If there is no MPI, or there are not as many workers as the
            run was started with, or as can share a batch evenly.

    """
    name = settings['communicator']
    if name is None:
        return None, settings
    # ChainerMN calls its batch normalization and collectives so.
    chainer.disable_experimental_feature_warning = True
    with _naming(name):
        import chainermn
        from mpi4py import MPI
    with _ending_together(MPI.COMM_WORLD, prog):
        # A GPU may be missing for one worker only.
        with _naming(name):
            communicator = chainermn.create_communicator(name)
        size, saved = communicator.size, settings['n_workers']
        if communicator.rank != _FIRST:
            sys.stdout = open(os.devnull, 'w')
        if saved not in (None, size):
            raise UserError(
                f'the run was started by {saved} workers, and {size} cannot '
                f'go on with it: use mpiexec -n {saved}')
        if settings['batch_size'] % size:
            raise UserError(
                f"{option('batch_size')} {settings['batch_size']} cannot be "
                f'divided among {size} workers evenly')
    device = settings['device']
    if device.startswith('@cupy'):
        device = f'@cupy:{communicator.intra_rank}'
    return communicator, dict(settings, n_workers=size, device=device)


@contextlib.contextmanager
def _naming(name):
    """Context that says that a communicator cannot be used."""
    try:
        yield
    except Exception as error:
        # mpi4py, MPI, NCCL and CuPy each raise their own.
        raise UserError(f'--communicator {name} cannot be used: '
                        f'{one_line(error)}')


def ending_together(communicator, prog):
    """Context that all workers leave together, or end if one of them fails.

    The others would wait for it for ever.

    Args:
        communicator (chainermn.CommunicatorBase or None): Theirs.
        prog (str): Name of the script, for messages.

    """
    if communicator is None:
        return contextlib.nullcontext()
    return _ending_together(communicator.mpi_comm, prog)


@contextlib.contextmanager
def _ending_together(mpi_comm, prog):
    try:
        yield
        mpi_comm.Barrier()
    except BaseException as error:
        if mpi_comm.size == 1:
            raise
        is_told = isinstance(
            error, (UserError, OSError, MemoryError, KeyboardInterrupt))
        if not is_told:
            sys.excepthook(*sys.exc_info())
        sys.stderr.write(
            f'{prog}: error on rank {mpi_comm.rank} of {mpi_comm.size}: '
            f'{one_line(error) or type(error).__name__}\n')
        sys.stderr.flush()
        mpi_comm.Abort(2 if is_told else 1)


def is_first(communicator):
    """Returns whether this worker is the one that writes files."""
    return communicator is None or communicator.rank == _FIRST


def launcher(communicator):
    """Returns what a command of these workers begins with, a list."""
    if communicator is None:
        return []
    return ['mpiexec', '-n', str(communicator.size)]


def share(communicator, batch_size):
    """Returns which part of a joined batch is this worker's, a slice."""
    if communicator is None:
        return slice(None)
    n = batch_size // communicator.size
    return slice(communicator.rank * n, (communicator.rank + 1) * n)


def concatenated(communicator, values):
    """Concatenates lists of all workers, the same list everywhere."""
    if communicator is None:
        return values
    return communicator.allreduce_obj(values)


def join_batches(model, communicator):
    """Has a model's batch normalizations and dropouts see the joined batch.

    Args:
        model (~chainer.Chain): The model.
        communicator (chainermn.CommunicatorBase or None): The workers'.

    """
    if communicator is None:
        return
    paths = [path for path, link in model.namedlinks()
             if type(link) is L.BatchNormalization]
    if paths:
        mixnorm.convert(model, 'batch', paths, communicator=communicator)
    for link in model.links():
        if isinstance(link, Dropout):
            link.share = communicator.rank, communicator.size


def share_optimizer(optimizer, communicator):
    """Has an optimizer take the mean of all workers' gradients.

    Args:
        optimizer (~chainer.Optimizer): After its setup.
        communicator (chainermn.CommunicatorBase or None): The workers'.

    Returns:
        ~chainer.Optimizer: What to update by.

    """
    if communicator is None:
        return optimizer
    import chainermn
    shared = chainermn.create_multi_node_optimizer(optimizer, communicator)
    # Its first update would do no more than to send the weights to all.
    communicator.bcast_data(optimizer.target)
    shared.is_changed(optimizer.target)
    return shared


def report_means(trainer, communicator):
    """Has a trainer report the loss and the accuracy of joined batches.

    Args:
        trainer (~chainer.training.Trainer): The trainer.
        communicator (chainermn.CommunicatorBase or None): The workers', whose
            shares are of one size.

    """
    if communicator is None:
        return
    keys = 'main/loss', 'main/accuracy'

    def take_means(trainer):
        found = concatenated(communicator, [
            [float(chainer.as_array(trainer.observation[key]))
             for key in keys]])
        trainer.observation.update(zip(keys, numpy.mean(found, axis=0)))

    trainer.extend(take_means, name='means of workers',
                   trigger=(1, 'iteration'), priority=PRIORITY_EDITOR)
