"""How long a run is, and where its learning rate decays."""


def n_epochs(updater):
    """Returns how many epochs an updater has trained for.

    Args:
        updater (~chainer.training.Updater): The updater.

    Returns:
        float: A little more than the share of the images that it has had, so
        that no rounding keeps it from reaching a number of epochs.

    """
    return updater.epoch_detail + 1e-9


def scaled(settings):
    """Returns settings with the schedule that a run follows.

    Args:
        settings (dict): Settings, of which ``'scale'`` is what the lengths of
            the run and the points of its decays are multiplied with. Lengths
            in iterations are rounded, to 1 at least; those in epochs end with
            the iteration that reaches them.

    Returns:
        dict: The same, but for ``'epoch'``, ``'iterations'``,
        ``'decay_every'``, ``'decay_at'`` and ``'decay_at_iterations'``, where
        there are any.

    """
    scale = settings.get('scale', 1)
    if scale == 1:
        return settings
    found = dict(settings)
    for name, multiply in (
            ('epoch', lambda epochs: epochs * scale),
            ('decay_every', lambda epochs: epochs * scale),
            ('iterations', lambda n: max(1, round(n * scale))),
            ('decay_at', lambda points: [scale * point for point in points]),
            ('decay_at_iterations',
             lambda points: [round(scale * point) for point in points])):
        if found.get(name) is not None:
            found[name] = multiply(found[name])
    return found


def tell(settings):
    """Prints what a schedule comes to, where it is a scaled one.

    Args:
        settings (dict): What :func:`scaled` takes.

    """
    if settings['scale'] != 1:
        print(f"scale {settings['scale']:g}: {_in_words(scaled(settings))}")


def _in_words(settings):
    """Returns such as ``5 epochs, learning rate times 0.1 after 2 epochs``."""
    if settings['iterations'] is None:
        text = f"{settings['epoch']:.10g} epochs"
    else:
        text = f"{settings['iterations']} iterations"
    decays = []
    if settings.get('decay_every') is not None:
        decays.append(f"each {settings['decay_every']:.10g} epochs")
    for name, unit in (('decay_at', 'epochs'),
                       ('decay_at_iterations', 'iterations')):
        if settings.get(name):
            points = ' and '.join(f'{point:.10g}' for point in settings[name])
            decays.append(f'{points} {unit}')
    if decays:
        text += (f", learning rate times {settings['decay']:g} after "
                 + ' and '.join(decays))
    return text
