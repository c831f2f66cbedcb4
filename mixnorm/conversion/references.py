"""What a model still refers to, beyond where links can be replaced."""
import functools
import gc
import types

import chainer
import numpy

# Nothing is called through these: a graph that was computed, and what is
# shared by all of a program.
_NOT_FOLLOWED = (
    chainer.Variable, chainer.FunctionNode, chainer.variable.VariableNode,
    types.ModuleType, type, types.FrameType, types.CodeType, str, bytes, int,
    float)


def find_references(model, targets):
    """Finds what in a model refers to links that it does not have any more.

    Args:
        model (~chainer.Link): The model.
        targets (list of ~chainer.Link): The links.

    Returns:
        list of str: Where they are referred to, as an expression that begins
        with ``model``.

    """
    ids = {id(target) for target in targets}
    found = []
    seen = {id(model)}
    waiting = [('model', model)]
    while waiting:
        path, holder = waiting.pop()
        for step, value in _steps(holder):
            if id(value) in ids:
                found.append(path + step)
            elif id(value) not in seen and not isinstance(
                    value, _NOT_FOLLOWED):
                seen.add(id(value))
                waiting.append((path + step, value))
    return found


def _steps(holder):
    """Returns what an object refers to, and how to write that down."""
    if isinstance(holder, dict):
        return [(f'[{key!r}]', value) for key, value in holder.items()] + [
            (f'.keys(): {type(key).__name__}', key) for key in holder]
    if isinstance(holder, types.FunctionType):
        cells = zip(holder.__code__.co_freevars, holder.__closure__ or ())
        return [(f'.__closure__: {name}', cell.cell_contents)
                for name, cell in cells if _is_filled(cell)] + [
            ('.__defaults__', holder.__defaults__),
            ('.__kwdefaults__', holder.__kwdefaults__)]
    if isinstance(holder, types.MethodType):
        return [('.__self__', holder.__self__), ('.__func__', holder.__func__)]
    if isinstance(holder, functools.partial):
        return [('.func', holder.func), ('.args', holder.args),
                ('.keywords', holder.keywords)]
    if isinstance(holder, numpy.ndarray):
        # The garbage collector does not look into arrays.
        values = holder.ravel() if holder.dtype.hasobject else ()
        return [(f'.flat[{i}]', value) for i, value in enumerate(values)]
    attributes = getattr(holder, '__dict__', {})
    steps = [(f'.{name}', value) for name, value in attributes.items()]
    if isinstance(holder, (list, tuple)):
        return steps + [(f'[{i}]', value) for i, value in enumerate(holder)]
    named = {id(attributes)} | {id(value) for _, value in steps}
    return steps + [(f': {type(holder).__name__}', value)
                    for value in gc.get_referents(holder)
                    if id(value) not in named]


def _is_filled(cell):
    try:
        cell.cell_contents
    except ValueError:
        return False
    return True
