import pytest

from tools.chainer_suite.judging import Verdict
from tools.chainer_suite.known import (
    GPU, KINDS, Known, KNOWN, lost_name, OLD, TEST)


_IN_TEST = 'chainer_tests/a/test_b.py:7'
_IN_CHAINER = 'chainer/functions/math/sum.py:7'


def _failure(message='gone', error='ValueError', raised_by=_IN_TEST):
    return {'error': error, 'message': message, 'raised_by': raised_by,
            'line': 'f(x)'}


def _failed(id_, *args, **kwargs):
    return {'id': id_, 'outcome': 'failed',
            'failure': _failure(*args, **kwargs)}


def _passed(id_, **kwargs):
    return {'id': id_, 'outcome': 'passed', **kwargs}


def _verdict(known, *tests, versions={}):
    verdict = Verdict(known, versions)
    verdict.add({'left_out': {'gpu': 2}, 'tests': tests})
    return verdict


def _unexpected(verdict):
    return [outcome['id'] for outcome in verdict.unexpected]


@pytest.mark.parametrize('kind, raised_by, expected', [
    (TEST, _IN_TEST, []), (TEST, 'chainer/testing/array.py:7', []),
    (TEST, _IN_CHAINER, ['t']), (TEST, 'mixnorm/links/a.py:7', ['t']),
    (TEST, '', ['t']),
    (OLD, _IN_CHAINER, [])])
def test_own_failure_must_be_raised_by_the_test(kind, raised_by, expected):
    verdict = _verdict([Known(kind, 'why', 'ValueError: gone')],
                       _failed('t', raised_by=raised_by))
    assert _unexpected(verdict) == expected
    assert verdict.known == ({} if expected else {(kind, 'why'): ['t']})


@pytest.mark.parametrize('message, error, expected', [
    ('gone', 'ValueError', []), ('gone', 'TypeError', ['a::t[1]']),
    ('is gone', 'ValueError', ['a::t[1]'])])
def test_error_and_message_must_fit(message, error, expected):
    verdict = _verdict([Known(OLD, 'why', 'ValueError: gone', ('a::t*',))],
                       _failed('a::t[1]', message, error))
    assert _unexpected(verdict) == expected


def test_named_tests_only():
    row = Known(OLD, 'why', '', ('a::*',))
    assert _unexpected(_verdict([row], _failed('b::t'), _failed('a::t'))) == [
        'b::t']


@pytest.mark.parametrize('numpy, expected', [('1.26.4', ['t']), ('2.5.5', [])])
def test_versions(numpy, expected):
    row = Known(OLD, 'why', '', where=('numpy>=2.0',))
    assert _unexpected(_verdict(
        [row], _failed('t'), versions={'numpy': numpy})) == expected
    assert _unexpected(_verdict([row], _failed('t'))) == ['t']


def test_known_failures_that_pass():
    rows = [Known(OLD, 'all pass', '', ('a::*',)),
            Known(OLD, 'some fail', '', ('b::*',)),
            Known(OLD, 'not here', '', ('c::*',), where=('numpy>=2.0',)),
            Known(GPU, 'needs one', '', ('d::*',))]
    verdict = _verdict(rows, _passed('a::1'), _passed('a::2'),
                       _passed('b::1'), _failed('b::2'), _passed('c::1'),
                       _passed('d::1'),
                       versions={'numpy': '1.26.4'})
    assert verdict.now_passing == ['a::1', 'a::2']


def test_counts():
    verdict = _verdict(
        [Known(GPU, 'why', '', ('a',))], _failed('a'), _failed('b'),
        _passed('c'), _passed('d', lost_name='numpy.int'),
        {'id': 'e', 'outcome': 'skipped', 'reason': 'no'})
    verdict.add({'left_out': {'gpu': 1, 'slow': 1}, 'tests': []})
    assert (verdict.ran, verdict.passed) == (4, 1)
    assert verdict.skipped == {'no': 1}
    assert verdict.left_out == {'gpu': 3, 'slow': 1}
    assert {kind: ids for (kind, _), ids in verdict.known.items()} == {
        GPU: ['a'], TEST: ['d']}
    assert _unexpected(verdict) == ['b']


@pytest.mark.parametrize('message, error, raised_by, expected', [
    ("module 'numpy' has no attribute 'int'. `np.int` was", 'AttributeError',
     _IN_TEST, 'numpy.int'),
    ('`np.float_` was removed in the NumPy 2.0 release.', 'AttributeError',
     _IN_TEST, 'numpy.float_'),
    ("module 'numpy' has no attribute 'int'", 'AttributeError', _IN_CHAINER,
     None),
    ("module 'cupy' has no attribute 'int'", 'AttributeError', _IN_TEST,
     None),
    ("module 'numpy' has no attribute 'int'", 'AssertionError', _IN_TEST,
     None)])
def test_lost_names(message, error, raised_by, expected):
    assert lost_name(_failure(message, error, raised_by)) == expected


@pytest.mark.parametrize('row', KNOWN, ids=lambda row: row.reason)
def test_list(row):
    assert row.kind in KINDS and row.reason
    # An error alone says nothing unless it is told apart from others.
    assert row.error or row.tests
    row.applies({'numpy': '2.5.5', 'python': '3.13.0'})
    assert not row.explains('chainer_tests/test_x.py::test_y', _failure(
        'arrays are not equal', 'AssertionError', _IN_CHAINER))
