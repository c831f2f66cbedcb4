"""Compares two functions, measured by turns: ratio of times, new pages."""
from concurrent.futures import ProcessPoolExecutor
import gc
import multiprocessing
import resource
import statistics
import time

import numpy


def new_process():
    """Returns an executor of one process, which inherits no memory."""
    return ProcessPoolExecutor(1, multiprocessing.get_context('spawn'))


def measure(function, device):
    """Returns the seconds and the new pages of memory that a call takes."""
    def synchronize():
        if device.xp is not numpy:
            device.xp.cuda.get_current_stream().synchronize()

    synchronize()
    pages = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    start = time.perf_counter()
    function()
    synchronize()
    seconds = time.perf_counter() - start
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - pages


class Benchmark:

    """Where and how long to measure, and what was measured.

    Args:
        device (chainer.backend.Device): Where.
        seconds (float): How long to measure a pair.

    Attributes:
        rows (list of dict): The ratios.
        growth (dict or None): How time and memory grow, by what.

    """

    def __init__(self, device, seconds):
        self.device = device
        self.seconds = seconds
        self.rows = []
        self.growth = None

    def print_header(self):
        """Prints the names of a row's columns."""
        print(f"{'':<10} {'what':<44} {'against':<27} {'ratio':>7}  "
              f"{'(quartiles)':<17} new pages")

    def compare(self, section, what, against, ours, theirs, note=''):
        """Measures two functions by turns; adds and prints the row.

        Args:
            section (str): Which part of the table the row is in.
            what (str): What is measured.
            against (str): What it is measured against.
            ours (callable): Does the first once.
            theirs (callable): Does the second once.
            note (str): What else to print.

        Returns:
            float: Median of the ratios of times.

        """
        return self.compare_measured(
            section, what, against, lambda: measure(ours, self.device),
            lambda: measure(theirs, self.device), note)

    def compare_measured(self, section, what, against, ours, theirs, note=''):
        """Compares two functions that call :func:`measure` themselves."""
        for function in (ours, theirs, ours, theirs):
            function()
        gc.collect()
        pairs = []
        end = time.perf_counter() + self.seconds
        while len(pairs) < 5 or (
                time.perf_counter() < end and len(pairs) < 1000):
            pairs.append((ours(), theirs()))
        ratios = [a / b for (a, _), (b, _) in pairs]
        low, ratio, high = statistics.quantiles(ratios, n=4)
        # To get a page costs about as much as a pass over it, and whether the
        # system has to give one is the C library's affair.
        pages = [round(statistics.median(pages for _, pages in side))
                 for side in zip(*pairs)]
        self.rows.append({
            'section': section, 'what': what, 'against': against,
            'ratio': ratio, 'quartiles': [low, high], 'pairs': len(pairs),
            'pages': pages, 'note': note})
        print(f'{section:<10} {what:<44} {against:<27} {ratio:7.3f}  '
              f'({low:.3f} to {high:.3f})  {pages[0]:>5} {pages[1]:>5}  '
              f'{note}'.rstrip(), flush=True)
        return ratio

    def shortest(self, function):
        """Returns the shortest time of a function, in seconds."""
        function()
        times = []
        end = time.perf_counter() + self.seconds
        while len(times) < 3 or (
                time.perf_counter() < end and len(times) < 100):
            times.append(measure(function, self.device)[0])
        return min(times)
