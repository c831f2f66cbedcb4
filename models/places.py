"""Which normalizer stands at which of a network's places."""

import fnmatch

from mixnorm.checks import is_integer


def find_places(name, places):
    """Finds the places that a name stands for.

    Args:
        name (str): A place, what holds places (``'inc2/0'`` holds
            ``'inc2/0/2/4'``), or a shell pattern (``*``, ``?``, ``[...]``) of
            either, ``*`` for slashes, too. A slash may lead.
        places (tuple of str): The network's places.

    Returns:
        list of str: Those it stands for, in the network's order.

    Raises:
        ValueError: If there are none. It lists what there is, down to where
            the name goes astray.

    """
    pattern = name.strip('/')
    found = [place for place in places
             if any(fnmatch.fnmatchcase(path, pattern)
                    for path in _with_holders(place))]
    if not found:
        raise ValueError(f'names {name!r}, which is no place: there are '
                         f"{', '.join(_nearest(pattern, places))}")
    return found


def normalizers_by_place(normalizers, places):
    """Returns the normalizer of each of a network's places.

    Of several names that stand for one place, that which stands for the
    fewest places counts: a layer goes before what holds it.

    Args:
        normalizers (dict or None): Maps names, as :func:`find_places` takes
            them, to a normalizer's name or a pair of name and options. Of
            random seeds among the options, the first place of a name has
            ``seed``, the next ``seed + 1``, as :func:`mixnorm.convert` has
            it.
        places (tuple of str): The network's places.

    Returns:
        dict: Maps each place to a pair of a normalizer's name and options:
        batch normalization where nothing else is named.

    Raises:
        ValueError: If ``normalizers`` is no dictionary, a name stands for no
            place, two that stand for equally many stand for the same one, or
            a normalizer is neither a name nor a pair.

    """
    normalizers = {} if normalizers is None else normalizers
    if not (isinstance(normalizers, dict)
            and all(isinstance(name, str) for name in normalizers)):
        raise ValueError(f'normalizers is {normalizers!r}: it must be a '
                         'dictionary of places')
    pairs = {name: name_and_options(normalizer)
             for name, normalizer in normalizers.items()}
    try:
        found = {name: find_places(name, places) for name in pairs}
    except ValueError as error:
        raise ValueError(f'normalizers {error}')
    chosen = {}
    for name in sorted(found, key=lambda name: len(found[name])):
        for place in found[name]:
            other = chosen.setdefault(place, name)
            if other != name and len(found[other]) == len(found[name]):
                raise ValueError(f'normalizers names {place} twice, as '
                                 f'{other!r} and as {name!r}, and neither is '
                                 'the more exact')
    return {place: _seeded(pairs[chosen[place]],
                           found[chosen[place]].index(place))
            if place in chosen else ('batch', {}) for place in places}


def name_and_options(normalizer):
    """Returns a normalizer's name and options.

    Args:
        normalizer (str or tuple): A name that :func:`mixnorm.normalizer`
            knows, or a pair of a name and a dictionary of options.

    Returns:
        tuple: The name and the options.

    Raises:
        ValueError: If it is neither.

    """
    if isinstance(normalizer, str):
        return normalizer, {}
    if not (isinstance(normalizer, (tuple, list)) and len(normalizer) == 2
            and isinstance(normalizer[1], dict)):
        raise ValueError(f'normalizer is {normalizer!r}: it must be a '
                         'name or a pair of a name and a dictionary of '
                         'options')
    return tuple(normalizer)


def _seeded(pair, i):
    name, options = pair
    if is_integer(options.get('seed')):
        options = dict(options, seed=options['seed'] + i)
    return name, options


def _with_holders(place):
    """Returns a place's path, and those of all that holds it."""
    parts = place.split('/')
    return ['/'.join(parts[:n]) for n in range(len(parts), 0, -1)]


def _nearest(name, places):
    """Returns what there is beside the first part of a name that is wrong."""
    depth = 0
    for part in name.split('/'):
        held = [place for place in places if place.count('/') > depth
                and place.split('/')[depth] == part]
        if not held:
            break
        places, depth = held, depth + 1
    return list(dict.fromkeys(
        '/'.join(place.split('/')[:depth + 1]) for place in places))
