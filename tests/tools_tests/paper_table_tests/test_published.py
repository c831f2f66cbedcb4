"""The papers' figures against sums and cells typed from the papers."""

import pytest

from tools.paper_table.published import NOT_REACHED, TABLES


def _sums(group):
    """Returns the sum of each column, over its rows by name: the first once,
    the second twice and so on, so that no two can change places."""
    numbers = [[number for figure in group[name]
                for number in (figure if isinstance(figure, tuple)
                               else (figure,))] for name in sorted(group)]
    return tuple(sum(i * number for i, number in enumerate(column, 1)
                     if number is not NOT_REACHED)
                 for column in zip(*numbers))


# Of means and deviations, where a figure has both.
@pytest.mark.parametrize('key, expected', [
    ('II', [(2760.65, 2891.95, 2963.94, 3003.50),
            (4032.51, 4340.47, 4472.49, 4545.69)]),
    ('III', [(4.63, 264.89), (25.80, 1318.39)]),
    ('IV', [(1350.57, 1372.68, 1379.43, 1383.42),
            (1265.54, 1343.17, 1377.62, 1395.07)]),
    ('V', [(60.68, 1383.42), (36.77, 719.81)]),
    ('VI', [(5.82, 230.35), (5.99, 229.84)]),
    ('densenet', [(74.36,), (63.87,)]),
    ('figure-6', [(11.0, 104.26)]),
    ('1', [(531.19, 25.12)]),
    ('2', [(322.80, 14.26), (285.87, 14.49), (278.44, 9.26)]),
    ('3', [(25.66,), (23.86,), (24.42,), (95.62,), (91.27,), (92.62,)]),
    ('4', [(90.39, 32.20)]),
    ('5', [(545.13, 38.33), (549.60, 33.33)]),
    ('repository', [(28.75,), (7.73,)])])
def test_sums(key, expected):
    assert list(map(_sums, TABLES[key].groups)) == list(
        map(pytest.approx, expected))


def test_sums_of_speeds():
    assert [_sums(group)[0] for group in TABLES['VII'].groups] == [
        pytest.approx(212.67), pytest.approx(128.58), pytest.approx(97.60)]
    assert TABLES['VII'].rows['throughput-40-128-MN-5'] == (
        6.38, pytest.approx(.868, abs=.0005))


@pytest.mark.parametrize('key, recipe, expected', [
    ('II', 'cifar100-cnn-MN-6', (58.98, 61.83, 62.67, 63.12)),
    ('IV', 'cifar10-inception-MN-3', (90.49, 91.52, 92.17, 92.30)),
    ('V', 'cifar10-inception-MN-2', (3.86, 92.55)),
    ('V', 'cifar100-inception-MN-1', (NOT_REACHED, 70.43)),
    ('VI', 'cifar100-inception-nesterov-3-MN', (1.79, 77.32)),
    ('3', 'cifar100-vgg13-MN', (30.06,)),
    ('2', 'multitask-small-8-MGN', ((26.83, 1.34),)),
    ('5', 'multitask-512-MN-4', ((24.29, 1.82),))])
def test_rows(key, recipe, expected):
    assert TABLES[key].rows[recipe] == expected


@pytest.mark.parametrize('quarters, steps', [('II', 'III'), ('IV', 'V')])
def test_best_is_that_of_the_last_quarter(quarters, steps):
    for recipe, (_, best) in TABLES[steps].rows.items():
        assert TABLES[quarters].rows[recipe][-1] == best


def test_every_row_has_a_figure_for_each_column():
    for table in TABLES.values():
        for figures in table.rows.values():
            assert len(figures) == len(table.columns)
