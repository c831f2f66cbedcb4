"""Processes that Chainer starts and that are not forks of this one.

Under the start methods ``'spawn'`` and ``'forkserver'`` (the default from
Python 3.14 on) a process unpickles what it is to do, and so imports Chainer
before it imports mixnorm, which fails. What is unpickled first is therefore a
function of this module.
"""

import multiprocessing

from mixnorm.compat.repairs import ModuleWith, rebound, repairs_module


def call(function, *args, **kwargs):
    """Calls a function, in a process that has imported mixnorm by then."""
    function(*args, **kwargs)


def _process(target, args=(), kwargs={}):
    return multiprocessing.Process(
        target=call, args=(target, *args), kwargs=kwargs)


def fetch_setup(dataset, mem_size, mem_bulk):
    """Calls Chainer's function of that name, with an underscore before."""
    fetch_setup.__wrapped__(dataset, mem_size, mem_bulk)


@repairs_module('chainer.iterators.multiprocess_iterator')
def _iterator(module):
    """``MultiprocessIterator`` starts such workers again and again."""
    yield
    fetch_setup.__wrapped__ = module._fetch_setup
    module._fetch_setup = fetch_setup


@repairs_module('chainer.training.extensions.snapshot_writers')
def _writers(module):
    """Such a process writes no snapshot, and nobody asks whether it did."""
    yield
    starting = ModuleWith(multiprocessing, Process=_process)
    module.ProcessWriter.create_worker = rebound(
        module.ProcessWriter.create_worker, multiprocessing=starting)
    module.ProcessQueueWriter.create_consumer = rebound(
        module.ProcessQueueWriter.create_consumer, multiprocessing=starting)
