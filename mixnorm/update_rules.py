"""Update rules of parameters that come after an optimizer was set up."""


def new_update_rule(rule):
    """Makes an update rule by the settings of another's optimizer.

    Args:
        rule (~chainer.UpdateRule): That of a parameter which an optimizer was
            set up for.

    Returns:
        ~chainer.UpdateRule: One of the same kind, enabled or not as that one
        is, which follows the optimizer's hyperparameters.

    """
    new = type(rule)(rule.hyperparam.parent)
    new.enabled = rule.enabled
    new.use_fp32_update(rule._use_fp32_update)
    return new


def copied_update_rule(rule):
    """Makes an update rule like another, without its state.

    Args:
        rule (~chainer.UpdateRule): That of the parameter in whose place, or
            for a part of which, a new one comes.

    Returns:
        ~chainer.UpdateRule: One of the same kind with the same
        hyperparameters, its own and the optimizer's, and the same hooks.

    """
    new = new_update_rule(rule)
    vars(new.hyperparam).update(
        (key, value) for key, value in vars(rule.hyperparam).items()
        if key != '_parent')
    for timing, hooks in (('pre', rule._hookable._pre_update_hooks),
                          ('post', rule._hookable._post_update_hooks)):
        for name, hook in hooks.items():
            new.add_hook(hook, name, timing)
    return new
