"""Runs small enough for tests, and how to read them."""

import json


# A network and a data set small enough to train in a moment: epochs
# end within batches.
SMALL = ('--widths 4 4 4 8 --train-size 96 --test-size 30 '
         '--batch-size 20').split()


def read_log(folder):
    """Returns a run's log without the time it took."""
    return without_times(json.loads((folder / 'log').read_text()))


def without_times(log):
    return [{key: value for key, value in entry.items()
             if key != 'elapsed_time'} for entry in log]
