"""Links of several workers, compared with one worker's on the joined batch."""

import functools
import json
import pathlib

import pytest

from workers_tests.mpi import mpiexec

_PROGRAM = pathlib.Path(__file__).with_name('link_program.py')


@functools.lru_cache(maxsize=None)
def _run(n_workers):
    found = mpiexec(n_workers, _PROGRAM)
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout)


@pytest.mark.parametrize('case', [
    'mixture (256, 3, 4, 4) d', 'mixture (256, 3) d', 'all points',
    'warm start', 'inside', 'second order', 'afk-mc2', 'large',
    'large inside', 'large second order',
    'mode (256, 3, 4, 4) d', 'mode (256, 3) d', 'mode_affine'])
def test_shares_of_two_workers_in_float64(case):
    errors = _run(2)[case]
    assert {'y', 'gx', '/gamma', '/beta', 'test'} < errors.keys()
    assert max(errors.values()) < 1e-10, errors


@pytest.mark.parametrize('kind', ['mixture', 'mode'])
@pytest.mark.parametrize('shape', ['(256, 3, 4, 4)', '(256, 3)'])
def test_shares_of_two_workers_in_float32(kind, shape):
    errors = _run(2)[f'{kind} {shape} f']
    assert max(errors.values()) < 2e-4, errors


@pytest.mark.parametrize('kind', ['mixture', 'mode'])
def test_shares_of_four_workers(kind):
    errors = _run(4)[kind]
    assert max(errors.values()) < 1e-10, errors


def test_number_and_size_of_messages():
    # n_iter + n_components + 3, and 16 KB, at 512 channels.
    for case in 'large', 'large inside':
        n_messages, largest = _run(2)[f'messages of {case}']
        assert n_messages <= 2 + 5 + 3
        assert 8 * 512 < largest <= 1 << 14
    for case, expected in [('mixture (256, 3, 4, 4) d', 4), ('inside', 5),
                           ('second order', 6), ('large second order', 12)]:
        n_messages, _ = _run(2)[f'messages of {case}']
        assert n_messages == expected


@pytest.mark.parametrize('kind', ['mixture', 'inside', 'mode'])
def test_gradients_of_gradients(kind):
    assert _run(2)[f'{kind} twice'] < 1e-10


def test_multi_node_optimizer_trains_as_one_worker_does():
    assert _run(2)['training'] < 1e-10


@pytest.mark.parametrize('case,told', [
    ('components', 'n_components is 2 on rank 0 and 3 on rank 1'),
    ('settings', 'eps is 1e-05 on rank 0 and 2e-05 on rank 1'),
    ('modes', 'n_modes is 2 on rank 0 and 3 on rank 1'),
    ('finetune', 'finetune is False on rank 0 and True on rank 1'),
    ('finetune of modes', 'finetune is False on rank 0 and True on rank 1'),
    ('kinds', 'n_components is 3 on rank 0 and None on rank 1'),
    ('nothing', "'NoneType' object has no attribute 'shape'"),
    ('integers', 'x.dtype.kind == f'),
    ('positions', 'a sample is (3,) on rank 0 and (3, 1) on rank 1'),
    ('not finite', 'holds 468 of 468 values that are not finite'),
    ('empty, unchecked', 'the share of rank 1 of the mini-batch'),
    ('mini-batches', 'n_fits is 0 on rank 0 and 1 on rank 1'),
    ('empty', 'x.shape[0] > 0'),
    ('channels', 'x.shape[1] == 3'),
    ('dtype', 'dtype of the input is float64 on rank 0 and float32 on rank 1'),
    ('none', "communicator is 'naive': it must be what"),
    ('samples', "inference is 'samples': with a communicator"),
])
def test_every_worker_is_told_what_is_wrong(case, told):
    messages = _run(2)['errors'][case]
    assert len(messages) == 2
    for message in messages:
        assert told in message


def test_first_worker_is_told_who_has_the_wrong_input():
    for case in 'empty', 'channels', 'nothing', 'integers', 'not finite':
        assert 'on rank 1' in _run(2)['errors'][case][0]


def test_links_go_on_after_an_error():
    assert _run(2)['errors']['after'] == [None, None]


def test_conversion_to_links_of_workers():
    found = _run(2)
    assert found['kinds'] == [
        'ModeNormalization', 'MultiNodeBatchNormalization']
    assert found['communicators']


def test_repr_tells_the_number_of_workers():
    for text in _run(2)['repr']:
        assert text.endswith('communicator=NaiveCommunicator of size 2)')


def test_workers_share_a_seed_that_was_drawn():
    first, second = _run(2)['seeds']
    assert first == second
