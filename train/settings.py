"""The settings of a run: defaults, then a recipe's, then the user's own."""

from train import normalizers
from train.command_line import as_typed
from train.command_line import option
from train.command_line import UserError
from train.recipes import RECIPES


_DEFAULTS = dict(normalizers.DEFAULTS, **{
    'dataset': 'digits', 'recipe': None, 'train_size': None,
    'test_size': None, 'optimizer': 'rmsprop', 'weight_decay': 0.,
    'decay_at': None, 'iterations': None, 'log_every': None,
    'test_every': None, 'snapshot_every': None, 'seed': 0,
    'device': '@numpy'})

_CIFAR_DEFAULTS = {
    'widths': [64, 128, 128, 256], 'batch_size': 256, 'epoch': 100,
    'decay': 0.93, 'decay_every': 2}

_DATASET_DEFAULTS = {
    'digits': {
        'widths': [16, 32, 32, 64], 'batch_size': 64, 'epoch': 20,
        'decay': 0.85, 'decay_every': 1},
    'mnist': {
        'widths': [64, 128, 128, 256], 'batch_size': 128, 'epoch': 10,
        'decay': 0.75, 'decay_every': 1},
    'cifar10': _CIFAR_DEFAULTS, 'cifar100': _CIFAR_DEFAULTS}

_OPTIMIZER_DEFAULTS = {
    'rmsprop': {'lr': 0.003}, 'rmsprop-graves': {'lr': 0.001},
    'nesterov': {'lr': 0.01}, 'sgd': {'lr': 0.05}, 'adam': {'lr': 0.001}}

# Giving one of a pair takes the place of the other.
_ALTERNATIVES = {
    'epoch': 'iterations', 'iterations': 'epoch',
    'decay_every': 'decay_at', 'decay_at': 'decay_every'}

# What changes neither the updates of a run nor their order.
_FREE_ON_RESUME = ('epoch', 'iterations', 'log_every', 'test_every',
                   'snapshot_every', 'device')


def complete(given):
    """Completes the settings that a user gave.

    Args:
        given (dict): The settings given, by name.

    Returns:
        dict: All settings, by name.

    Raises:
        UserError: If a setting is given that would do nothing.

    """
    recipe = RECIPES.get(given.get('recipe'), {})
    dataset, optimizer = (
        given.get(key, recipe.get(key, _DEFAULTS[key]))
        for key in ('dataset', 'optimizer'))
    settings = dict(_DEFAULTS)
    for layer in (_OPTIMIZER_DEFAULTS[optimizer], _DATASET_DEFAULTS[dataset],
                  recipe, given):
        _override(settings, layer)
    normalizers.check_use(settings, given)
    return settings


def are_complete(saved):
    """Returns whether settings that were saved are those of a run.

    Args:
        saved: What was saved.

    Returns:
        bool: Whether every setting is there and names something known.

    """
    return (isinstance(saved, dict) and saved.keys() == complete({}).keys()
            and saved['optimizer'] in _OPTIMIZER_DEFAULTS
            and saved['dataset'] in _DATASET_DEFAULTS)


def resume(saved, given):
    """Merges what a user gives on resuming with what a run was started with.

    Args:
        saved (dict): All settings of the run.
        given (dict): The settings given now.

    Returns:
        dict: All settings of the run from now on.

    Raises:
        UserError: If a setting given now would make it another run.

    """
    wanted = dict(RECIPES.get(given.get('recipe'), {}))
    wanted.update(given)
    for key, value in wanted.items():
        if key not in _FREE_ON_RESUME and value != saved[key]:
            raise UserError(
                f'{option(key)} {as_typed(value)} differs from the '
                f'{as_typed(saved[key])} that this run was started with; a '
                'resumed run keeps its settings')
    settings = dict(saved)
    _override(settings, {key: value for key, value in given.items()
                         if key in _FREE_ON_RESUME})
    return settings


def _override(settings, layer):
    for key in layer:
        if key in _ALTERNATIVES:
            settings[_ALTERNATIVES[key]] = None
    settings.update(layer)
