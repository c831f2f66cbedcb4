import pytest

from compute_tests.gpu_tests import cases
from mixnorm.compute.gpu import tile


@pytest.fixture(params=cases.CASES, ids=cases.case_name)
def case(request, monkeypatch):
    *arguments, n_blocks = request.param
    monkeypatch.setattr(tile, 'THREAD_BLOCKS', n_blocks)
    return cases.Case(*arguments)


@pytest.fixture(params=cases.SMALL_CASES, ids=cases.case_name)
def small_case(request, monkeypatch):
    *arguments, n_blocks = request.param
    monkeypatch.setattr(tile, 'THREAD_BLOCKS', n_blocks)
    return cases.Case(*arguments)
