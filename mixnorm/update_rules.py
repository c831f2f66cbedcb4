"""Update rules of parameters that come after an optimizer was set up."""


def new_update_rule(rule):
    """Makes an update rule like another, without its state.

    Args:
        rule (~chainer.UpdateRule): That of a parameter which an optimizer was
            set up for.

    Returns:
        ~chainer.UpdateRule: One of the same kind, which follows the same
        optimizer's hyperparameters.

    """
    new = type(rule)(rule.hyperparam.parent)
    vars(new.hyperparam).update(
        (key, value) for key, value in vars(rule.hyperparam).items()
        if key != '_parent')
    new.enabled = rule.enabled
    return new
