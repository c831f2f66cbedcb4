"""The papers' figures against sums and cells typed from the papers."""

import pytest

from tools.paper_table.published import NOT_REACHED, TABLES


# Of each column, over a table's groups one after another.
@pytest.mark.parametrize('key, expected', [
    ('II', [(618.10, 647.07, 663.24, 671.37),
            (590.64, 643.15, 667.74, 682.48)]),
    ('III', [(3.29, 176.42), (8.11, 375.90)]),
    ('IV', [(449.13, 456.63, 459.04, 460.51),
            (361.23, 383.23, 393.81, 398.43)]),
    ('VI', [(4.30, 153.05), (4.20, 152.52)]),
    ('densenet', [(49.73,), (42.90,)]),
    ('figure-6', [(8.5, 70.91)]),
    ('3', [(17.24,), (16.07,), (16.43,), (63.96,), (61.21,), (62.09,)]),
    ('4', [(60.32, 21.55)]),
    ('repository', [(28.75,), (7.73,)])])
def test_sums(key, expected):
    assert [pytest.approx(tuple(map(sum, zip(*group.values()))))
            for group in TABLES[key].groups] == expected


@pytest.mark.parametrize('key, expected', [
    ('1', [(155.62, 7.49)]),
    ('2', [(129.65, 5.09), (116.46, 5.83), (112.71, 3.41)]),
    ('5', [(159.65, 12.21), (160.29, 9.33)])])
def test_sums_of_means_and_deviations(key, expected):
    assert [pytest.approx(tuple(map(sum, zip(
        *(pair for pair, in group.values())))))
        for group in TABLES[key].groups] == expected


def test_sums_of_speeds():
    assert sum(speed for speed, _ in TABLES['VII'].rows.values()) == (
        pytest.approx(149.65))
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
