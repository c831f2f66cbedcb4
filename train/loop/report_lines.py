"""A printed line for every new entry of the log."""

import sys

from chainer.training import extension


class ReportLines(extension.Extension):

    """Trainer extension that prints what the log has gained.

    Chainer's own report sends terminal codes to files as well, and prints
    the whole log again when a run is resumed.

    Args:
        log_report (~chainer.training.extensions.LogReport): The log.
        columns (list of tuple): Title, key in the log and format of each
            column.
        erase (bool): Whether to erase the screen below, where a progress bar
            is drawn on it.

    """

    def __init__(self, log_report, columns, erase=False):
        self._log_report = log_report
        self._erase = erase
        self._columns = columns
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
