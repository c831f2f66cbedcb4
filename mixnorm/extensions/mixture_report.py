import os
import time
import warnings

import chainer
from chainer.training import extension
import numpy

from mixnorm.inspection.record import Record, read_record, write_record
from mixnorm.inspection.state import kind_of, read_state

# Writing takes no more than about this share of the time.
_SHARE = .01


class MixtureReport(extension.Extension):

    """Trainer extension that records a model's mixtures and modes.

    Of every link of mixture or mode normalization in the models that the
    updater's optimizers train, it records weights (of modes: mean gates),
    means, variances and the effective number of components.
    :func:`mixnorm.inspection.read_record` reads the file, and the displays in
    :mod:`mixnorm.inspection` draw it.  A model that has no such link makes no
    file.

    It reports ``PATH/n_effective`` and ``PATH/largest_weight``, such as
    ``predictor/conv3/norm/n_effective``, for
    :class:`~chainer.training.extensions.LogReport`,
    :class:`~chainer.training.extensions.PrintReport` and
    :class:`~chainer.training.extensions.PlotReport` to show.  In front of the
    path stands the name of the optimizer, unless that is ``'main'``.
    Reading a link waits for a GPU.

    The file is written when the extension is called, before a snapshot and
    when training ends, and never takes the place of the one before unless it
    is whole.  A file that takes long to write is written less often than the
    extension is called; nothing that a snapshot can resume from is lost.  A
    resumed run goes on with the file in the output folder, without what was
    recorded after the snapshot.  A file there that cannot be read is renamed,
    with a warning.

    Args:
        filename (str): Name of the file in the trainer's output folder.

    Source: M. M. Kalayeh and M. Shah, *Training Faster by Separating Modes
    of Variation in Batch-normalized Models* (2018), figures 8 and 9.

    .. admonition:: Example

       .. code-block:: python

          trainer.extend(mixnorm.extensions.MixtureReport())
          trainer.extend(extensions.LogReport())
          trainer.extend(extensions.PrintReport(
              ['epoch', 'predictor/conv3/norm/n_effective']))

    """

    trigger = 1, 'epoch'
    # Before the reports, which read the observation.
    priority = extension.PRIORITY_WRITER

    def __init__(self, filename='mixture.npz'):
        self._filename = filename
        self._file = None
        self._updater = None
        self._kinds = {}
        # A tuple for each moment, by the paths of links.
        self._moments = {}
        self._is_written = True
        self._next_write = 0

    def initialize(self, trainer):
        self._file = os.path.join(trainer.out, self._filename)
        self._updater = trainer.updater
        self._go_on_with_file()

    def _go_on_with_file(self):
        iteration = self._updater.iteration
        if iteration == 0 or not os.path.exists(self._file):
            return
        try:
            records = read_record(self._file)
        except ValueError as error:
            os.replace(self._file, f'{self._file}.damaged')
            warnings.warn(f'recording anew: {error}; it was renamed to '
                          f'{self._file}.damaged')
            return
        for path, record in records.items():
            kept = record.iterations <= iteration
            self._kinds[path] = record.kind
            self._moments[path] = list(zip(*(z[kept] for z in record[1:])))
        self._is_written = False

    def __call__(self, trainer):
        updater = trainer.updater
        for path, link in _links(updater):
            state = read_state(link)
            if state is None:
                continue
            moments = self._moments.setdefault(path, [])
            moment = (updater.iteration, updater.epoch_detail, *state)
            if moments and _shapes(moments[-1]) != _shapes(moment):
                # Another link stands there now.
                moments.clear()
            if not moments or moments[-1][0] != updater.iteration:
                moments.append(moment)
            self._kinds[path] = kind_of(link)
            self._is_written = False
            name = path.strip('/')
            chainer.report({f'{name}/n_effective': state.n_effective})
            if len(state.weights):
                chainer.report({
                    f'{name}/largest_weight': float(state.weights.max())})
        if time.monotonic() >= self._next_write:
            self._write()

    def serialize(self, serializer):
        # The record of all that a snapshot holds has to be there before it.
        if isinstance(serializer, chainer.Serializer):
            self._write()
        elif self._updater is not None:
            # A snapshot that loads itself does so after the initialization.
            self._go_on_with_file()

    def finalize(self):
        self._write()

    def _write(self):
        if self._is_written or self._file is None:
            return
        start = time.monotonic()
        write_record(self._file, {
            path: Record(self._kinds[path], *map(numpy.array, zip(*moments)))
            for path, moments in self._moments.items() if moments})
        self._is_written = True
        end = time.monotonic()
        self._next_write = end + (end - start) / _SHARE


def _links(updater):
    for name, optimizer in sorted(updater.get_all_optimizers().items()):
        prefix = '' if name == 'main' else f'/{name}'
        for path, link in optimizer.target.namedlinks():
            if kind_of(link) is not None:
                yield prefix + path, link


def _shapes(moment):
    return [numpy.shape(z) for z in moment]
