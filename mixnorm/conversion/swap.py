"""Links put in the places of others, in all or in none."""
import functools
import types

from mixnorm.conversion.references import find_references


def swap(model, pairs):
    """Puts links in the places of others, wherever links hold them.

    They are found in attributes, in lists, tuples and dictionaries there,
    however deep, and as what a bound method belongs to.

    Args:
        model (~chainer.Link): The model, which is changed.
        pairs (list of tuples): Pairs of an old link and the new one.

    Raises:
        ValueError: If an attribute is a method that the new link lacks, or
            something else refers to an old link: the model would go on
            calling it.  After any error the model is as it was.

    """
    undo = []
    try:
        for old, new in pairs:
            new.name = old.name
            for holder in list({id(z): z for z in model.links()}.values()):
                _replace_items(vars(holder), old, new, undo, set())
        places = find_references(model, [old for old, _ in pairs])
        if places:
            raise ValueError(
                'the model refers to a layer where another cannot be put in '
                f"its place: {', '.join(places[:5])}")
    except BaseException:
        for put_back in reversed(undo):
            put_back()
        raise


def _replace_items(container, old, new, undo, seen):
    """Replaces a link in a list or dictionary, and in what is in there."""
    seen.add(id(container))
    items = (container.items() if isinstance(container, dict)
             else enumerate(container))
    for key, value in list(items):
        replaced = _replaced(value, old, new, undo, seen)
        if replaced is not value:
            container[key] = replaced
            undo.append(functools.partial(container.__setitem__, key, value))


def _replaced(value, old, new, undo, seen):
    """Returns what comes into a value's place: mostly the value itself."""
    if value is old:
        return new
    if isinstance(value, types.MethodType) and value.__self__ is old:
        try:
            return getattr(new, value.__name__)
        except AttributeError:
            raise ValueError(f'the model holds the method {value.__name__} of '
                             f'a {type(old).__name__}, which a '
                             f'{type(new).__name__} does not have')
    if isinstance(value, (list, dict)) and id(value) not in seen:
        _replace_items(value, old, new, undo, seen)
    if isinstance(value, tuple):
        items = [_replaced(item, old, new, undo, seen) for item in value]
        if any(a is not b for a, b in zip(items, value)):
            if hasattr(value, '_make'):
                return value._make(items)
            return type(value)(items)
    return value
