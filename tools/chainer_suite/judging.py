"""What outcomes of tests mean, by the list of known failures."""

import collections

from tools.chainer_suite.known import OLD, TEST


class Verdict:

    """What became of one part of the tests.

    Args:
        known (iterable of Known): The known failures.
        versions (dict): The versions of Python and of packages, by name.

    Attributes:
        ran (int): How many tests were run, skipped ones not counted.
        passed (int): How many passed.
        known (dict): Lists of ids of known failures, by pairs of kind and
            reason.
        unexpected (list of dict): Outcomes of the other failures.
        now_passing (list of str): Tests of a known failure that passed, where
            none of its tests failed, unless it needs what is here now.
        skipped (collections.Counter): How many were skipped, by reason.
        left_out (collections.Counter): How many were not run, by mark.

    """

    def __init__(self, known, versions):
        self._rows = [row for row in known if row.applies(versions)]
        self._failing = set()
        self._passing = collections.defaultdict(list)
        self.ran = self.passed = 0
        self.known = collections.defaultdict(list)
        self.unexpected = []
        self.skipped = collections.Counter()
        self.left_out = collections.Counter()

    def add(self, file):
        """Adds the outcomes of a file.

        Args:
            file (dict): What :meth:`tools.chainer_suite.running.Runner.run`
                yields.

        """
        self.left_out.update(file['left_out'])
        for outcome in file['tests']:
            self._add_outcome(outcome)

    def _add_outcome(self, outcome):
        id_ = outcome['id']
        if outcome['outcome'] == 'skipped':
            self.skipped[outcome['reason']] += 1
            return
        self.ran += 1
        if outcome['outcome'] == 'failed':
            row = next((row for row in self._rows
                        if row.explains(id_, outcome['failure'])), None)
            if row is None:
                self.unexpected.append(outcome)
            else:
                self._failing.add(row)
                self.known[row.kind, row.reason].append(id_)
        elif outcome.get('lost_name'):
            reason = (f"uses {outcome['lost_name']}, which NumPy has lost; "
                      'passes where NumPy is given its names back')
            self.known[TEST, reason].append(id_)
        else:
            self.passed += 1
            for row in self._rows:
                if row.kind in (TEST, OLD) and row.names(id_):
                    self._passing[row].append(id_)

    @property
    def now_passing(self):
        return [id_ for row, ids in self._passing.items()
                if row not in self._failing for id_ in ids]
