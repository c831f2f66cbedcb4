"""The paper's experiments with several tasks, as settings of the script.

Source: L. Deecke, I. Murray and H. Bilen, *Mode Normalization* (2019), section
4.1: four sets, 3.5 million images, the learning rate cut to a tenth after 2.5
and 3 million; and small batches for 50,000 updates, learning rate 0.02, cut
after 35,000 and 42,500. BN is batch normalization; MN is mode normalization.
The learning rate of the first is this library's choice.
"""

_SETS = ['mnist', 'fashion-mnist', 'cifar10', 'svhn']

_LARGE = {
    'sets': _SETS, 'optimizer': 'sgd', 'lr': .05, 'samples': 3500000,
    'cuts': [2.5 / 3.5, 3 / 3.5], 'batch_size': 128}

_SMALL = {
    'sets': _SETS, 'optimizer': 'sgd', 'lr': .02, 'iterations': 50000,
    'cuts': [.7, .85], 'batch_size': 16}

_HEADER = 'recipe', 'normalizer', 'K', 'batch', 'length', 'lr'


def _recipes():
    for prefix, common in (('multitask', _LARGE), ('multitask-small', _SMALL)):
        yield f'{prefix}-BN', dict(common, normalizer='batch')
        for n_modes in (2, 4, 6):
            yield f'{prefix}-MN-{n_modes}', dict(
                common, normalizer='mode', modes=n_modes)


RECIPES = dict(_recipes())


def table():
    """Returns the recipes as a table to print."""
    rows = [_HEADER]
    for name, recipe in RECIPES.items():
        length = ('{samples:,} images' if 'samples' in recipe
                  else '{iterations:,} updates').format(**recipe)
        rows.append((name, recipe['normalizer'], str(recipe.get('modes', '-')),
                     str(recipe['batch_size']), length, str(recipe['lr'])))
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ['  '.join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return '\n'.join(lines + [
        '', f"All: {', '.join(_SETS)}; SGD. The paper also has batches of 256 "
            'and 512, and small ones of 4 and 8',
        '(--batch-size), and five seeds (--seeds 0 1 2 3 4).'])
