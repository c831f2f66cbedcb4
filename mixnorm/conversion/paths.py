"""Layers of a model by path, as ``where`` names them."""
import difflib
import fnmatch

import chainer
import chainer.links as L

# Paths that an error message lists.
_LISTED = 20


def choose(model, where, is_wanted, what, is_possible=None):
    """Finds the links that ``where`` names.

    Args:
        model (~chainer.Link): The model.
        where (str, list of str or None): See :func:`mixnorm.convert`.
        is_wanted (callable): Tells whether a link is one of those meant.
        what (str): What those are, for messages.
        is_possible (callable): Tells whether a link is meant where it is
            named by its own path; ``is_wanted`` if ``None``.

    Returns:
        list of tuples: Pairs of path and link, in the model's order.

    Raises:
        ValueError: If ``where`` is something else, or names none.

    """
    named = list(model.namedlinks())
    possible = [(path, link) for path, link in named
                if (is_possible or is_wanted)(link)]
    wanted = [(path, link) for path, link in possible if is_wanted(link)]
    if isinstance(where, str) and where == 'first':
        return [_first(model, wanted)]
    if where is None:
        patterns = ['*']
    else:
        patterns = [where] if isinstance(where, str) else where
        if not isinstance(patterns, (list, tuple, set)) or not patterns or (
                not all(isinstance(p, str) and p for p in patterns)):
            raise ValueError(f"where is {where!r}: it must be None, 'first', "
                             'a path or a list of paths: '
                             f"{_listing('', wanted)}")
    chosen = set()
    for pattern in patterns:
        absolute = f"/{pattern.strip('/')}"
        holders = [path for path, _ in named
                   if path == absolute or fnmatch.fnmatchcase(path, absolute)]
        found = {path for path, _ in wanted for holder in holders
                 if path == holder
                 or path.startswith(f"{holder.rstrip('/')}/")}
        found |= {path for path, _ in possible if path == absolute}
        if not found:
            raise ValueError(f'where names {pattern!r}, which is no {what} '
                             f'and holds none: {_listing(absolute, wanted)}')
        chosen |= found
    return [(path, link) for path, link in possible if path in chosen]


def outermost(chosen):
    """Leaves out links that others among them hold."""
    return [(path, link) for path, link in chosen
            if not any(path.startswith(f'{holder}/') for holder, _ in chosen)]


def _listing(pattern, wanted):
    paths = [path for path, _ in wanted]
    if not paths:
        return 'the model has none'
    near = difflib.get_close_matches(pattern, paths, _LISTED, 0)
    listed = near + [path for path in paths if path not in near]
    text = f"there are {', '.join(listed[:_LISTED])}"
    if len(listed) > _LISTED:
        text += f' and {len(listed) - _LISTED} more'
    return text


def _first(model, wanted):
    paths = {id(link): path for path, link in reversed(wanted)}
    for link in _in_order_of_definition(model):
        if isinstance(link, L.BatchNormalization) and id(link) in paths:
            return paths[id(link)], link
    raise ValueError("where is 'first': the model has no batch normalization "
                     f"that could be it; {_listing('', wanted)}")


def _in_order_of_definition(link):
    yield link
    if isinstance(link, chainer.Sequential):
        # Its children are not always in the order of its layers.
        children = [z for z in link if isinstance(z, chainer.Link)]
    elif isinstance(link, chainer.ChainList):
        children = list(link.children())
    elif isinstance(link, chainer.Chain):
        # Attributes stand in the order in which they were set.
        of_link = {id(child) for child in link.children()}
        children = [value for value in vars(link).values()
                    if id(value) in of_link]
    else:
        children = []
    for child in children:
        yield from _in_order_of_definition(child)
