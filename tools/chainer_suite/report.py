"""What the outcomes look like in print."""

import collections

from tools.chainer_suite.known import KINDS
from train.text_table import text_table


def as_text(versions, verdicts, remarks):
    """Returns the table and the lists below it.

    Args:
        versions (dict): The versions of Python and of packages, by name.
        verdicts (dict): Verdicts by the names of parts.
        remarks (list of str): What else there is to say of the run.

    Returns:
        str: The text.

    """
    n_known = {name: collections.Counter() for name in verdicts}
    for name, verdict in verdicts.items():
        for (kind, _), ids in verdict.known.items():
            n_known[name][kind] += len(ids)
    kinds = [kind for kind in KINDS if any(n[kind] for n in n_known.values())]
    rows = [['part', 'ran', 'passed', *kinds, 'unexpected', 'now passing',
             'skipped']]
    for name, verdict in verdicts.items():
        rows.append([
            name, verdict.ran, verdict.passed,
            *(n_known[name][kind] for kind in kinds), len(verdict.unexpected),
            len(verdict.now_passing), sum(verdict.skipped.values())])
    blocks = [', '.join(map(' '.join, versions.items())),
              text_table(rows), *remarks]
    for name, verdict in verdicts.items():
        blocks += _lists(name, verdict)
    return '\n\n'.join(blocks)


def _lists(name, verdict):
    if verdict.left_out:
        yield f'{name}, left out by mark: ' + ', '.join(
            f'{mark} {n}' for mark, n in verdict.left_out.most_common())
    if verdict.skipped:
        yield _list(f'{name}, skipped by the tests', (
            f'{n}  {reason}' for reason, n in verdict.skipped.most_common()))
    if verdict.known:
        yield _list(f'{name}, known failures', (
            f'{len(ids)}  {kind}: {reason}'
            for (kind, reason), ids in sorted(verdict.known.items())))
    if verdict.unexpected:
        yield _list(f'{name}, unexpected failures',
                    map(_failure, verdict.unexpected))
    if verdict.now_passing:
        yield _list(f'{name}, known failures that now pass',
                    verdict.now_passing)


def _list(title, lines):
    return '\n'.join([f'{title}:', *(f'  {line}' for line in lines)])


def _failure(outcome):
    failure = outcome['failure']
    return (f"{outcome['id']}\n    {failure['raised_by'] or '-'}: "
            f"{failure['error']}: {failure['message'][:300]}")
