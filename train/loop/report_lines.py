"""A printed line for every new entry of the log."""

import sys

from chainer.training import extension


_COLUMNS = (
    ('epoch', 'epoch', 'd'),
    ('iteration', 'iteration', 'd'),
    ('loss', 'main/loss', '.4f'),
    ('accuracy', 'main/accuracy', '.4f'),
    ('test loss', 'validation/main/loss', '.4f'),
    ('test accuracy', 'validation/main/accuracy', '.4f'),
    ('recalibrated', 'recalibrated/validation/main/accuracy', '.4f'),
    ('lr', 'lr', '.3g'),
    ('seconds', 'elapsed_time', '.1f'),
)


class ReportLines(extension.Extension):

    """Trainer extension that prints what the log has gained.

    Chainer's own report sends terminal codes to files as well, and prints
    the whole log again when a run is resumed.

    Args:
        log_report (~chainer.training.extensions.LogReport): The log.
        erase (bool): Whether to erase the screen below, where a progress bar
            is drawn on it.
        recalibrated (bool): Whether tests after recalibration are printed.

    """

    def __init__(self, log_report, erase=False, recalibrated=False):
        self._log_report = log_report
        self._erase = erase
        self._columns = [column for column in _COLUMNS
                         if recalibrated or column[0] != 'recalibrated']
        self._n_printed = 0

    def initialize(self, trainer):
        self._n_printed = len(self._log_report.log)
        self._print(title for title, _, _ in self._columns)

    def __call__(self, trainer):
        for entry in self._log_report.log[self._n_printed:]:
            self._print(format(entry[key], spec) if key in entry else ''
                        for _, key, spec in self._columns)
        self._n_printed = len(self._log_report.log)

    def _print(self, cells):
        if self._erase:
            sys.stdout.write('\033[J')
        print('  '.join(cell.rjust(max(9, len(title))) for cell, (title, _, _)
                        in zip(cells, self._columns)), flush=True)
