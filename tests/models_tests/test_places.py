import pytest

from models.places import find_places
from models.places import name_and_options
from models.places import normalizers_by_place


PLACES = ('conv', 'inc1/0/0/0', 'inc1/0/1/0', 'inc1/0/1/1', 'inc1/1/0/0',
          'red1/0/0', 'red1/1/0', 'last')


@pytest.mark.parametrize('name, expected', [
    ('conv', ['conv']), ('/conv', ['conv']), ('red1', PLACES[5:7]),
    ('red1/', PLACES[5:7]), ('inc1/0', PLACES[1:4]),
    ('inc1/0/1', PLACES[2:4]), ('inc1/0/1/1', ['inc1/0/1/1']),
    ('inc1/*/0/0', ['inc1/0/0/0', 'inc1/1/0/0']), ('inc1/?', PLACES[1:5]),
    ('*1', PLACES[1:7]), ('[cl]*', ['conv', 'last']), ('*', PLACES)])
def test_find_places(name, expected):
    assert find_places(name, PLACES) == list(expected)


@pytest.mark.parametrize('name, listed', [
    ('conv1', 'conv, inc1, red1, last'), ('inc', 'conv, inc1, red1, last'),
    ('', 'conv, inc1, red1, last'), ('inc2/*', 'conv, inc1, red1, last'),
    ('inc1/2', 'inc1/0, inc1/1'), ('inc1/0/1/2', 'inc1/0/1/0, inc1/0/1/1'),
    ('/inc1/2/0', 'inc1/0, inc1/1'), ('conv/norm', 'conv, inc1, red1, last'),
    ('red1/1/0/norm', 'red1/1/0')])
def test_name_of_no_place(name, listed):
    with pytest.raises(ValueError) as error:
        find_places(name, PLACES)
    assert str(error.value) == (
        f'names {name!r}, which is no place: there are {listed}')


@pytest.mark.parametrize('normalizers', [None, {}])
def test_batch_normalization_everywhere(normalizers):
    found = normalizers_by_place(normalizers, PLACES)
    assert list(found) == list(PLACES)
    assert set(map(repr, found.values())) == {"('batch', {})"}


def test_the_most_exact_name_counts():
    found = normalizers_by_place({
        'inc1/0/1/1': 'instance', 'inc1': ('group', {'groups': 2}),
        '*': 'none', 'inc1/0/1': 'mode'}, PLACES)
    group = 'group', {'groups': 2}
    assert found == {
        'conv': ('none', {}), 'inc1/0/0/0': group,
        'inc1/0/1/0': ('mode', {}), 'inc1/0/1/1': ('instance', {}),
        'inc1/1/0/0': group, 'red1/0/0': ('none', {}),
        'red1/1/0': ('none', {}), 'last': ('none', {})}


@pytest.mark.parametrize('first, second', [
    ('inc1/0', 'inc1/0/*'), ('conv', '/conv'), ('red1/0', 'red1/0/0'),
    ('inc1/*/0/0', 'inc1/0/?/0')])
def test_names_of_equal_exactness(first, second):
    with pytest.raises(ValueError, match='names .* twice') as error:
        normalizers_by_place({first: 'mode', second: 'mixture'}, PLACES)
    assert repr(first) in str(error.value)
    assert repr(second) in str(error.value)


def test_names_of_equally_many_other_places():
    found = normalizers_by_place({'inc1/0/1': 'mode', 'red1': 'group'}, PLACES)
    assert found['inc1/0/1/0'] == ('mode', {})
    assert found['red1/1/0'] == ('group', {})


def test_a_tie_beyond_what_counts_is_none():
    found = normalizers_by_place({
        'inc1/0/1': 'mode', 'inc1/0/1/*': 'group', 'inc1/0/1/0': 'layer',
        'inc1/0/1/1': 'none'}, PLACES)
    assert found['inc1/0/1/0'] == ('layer', {})
    assert found['inc1/0/1/1'] == ('none', {})


def test_seeds_count_up_within_a_name():
    options = {'seed': 5, 'n_components': 2}
    given = {'inc1/0': ('mixture', options), 'inc1/0/1/0': 'mode',
             'last': ('mixture', {'seed': 9})}
    found = normalizers_by_place(given, PLACES)
    assert found['inc1/0/0/0'] == (
        'mixture', {'seed': 5, 'n_components': 2})
    # As if nothing else stood at the second.
    assert found['inc1/0/1/1'] == (
        'mixture', {'seed': 7, 'n_components': 2})
    assert found['last'] == ('mixture', {'seed': 9})
    assert given['inc1/0'] == ('mixture', {'seed': 5, 'n_components': 2})


def test_unknown_place():
    with pytest.raises(
            ValueError, match="normalizers names 'inc2', .*conv, inc1"):
        normalizers_by_place({'conv': 'mode', 'inc2': 'mode'}, PLACES)


@pytest.mark.parametrize('normalizers', ['mode', ['conv'], {3: 'mode'}],
                         ids=str)
def test_what_is_no_dictionary_of_places(normalizers):
    with pytest.raises(ValueError, match='normalizers is .*dictionary'):
        normalizers_by_place(normalizers, PLACES)


@pytest.mark.parametrize('normalizer', ['mode', ('mode', {}), ['mode', {}]],
                         ids=str)
def test_name_and_options(normalizer):
    assert name_and_options(normalizer) == ('mode', {})


@pytest.mark.parametrize('normalizer', [None, 3, ('mode',), ('mode', 3)],
                         ids=str)
def test_normalizer_that_is_no_pair(normalizer):
    with pytest.raises(ValueError, match='normalizer is '):
        normalizers_by_place({'conv': normalizer}, PLACES)
