"""Folders of runs, written by hand."""

import json
import math

from train import classifier
from train import multitask


KEY = 'validation/main/accuracy'


def write_run(folder, recipe, accuracies, of_epoch=195.3125, top5=None,
              **given):
    """Writes a run of train.classifier with a test after every epoch."""
    if recipe is not None:
        given['recipe'] = recipe
    folder.mkdir(parents=True)
    (folder / 'run.json').write_text(json.dumps(
        {'settings': classifier.SETTINGS.complete(given)}))
    log = [{'epoch': epoch, 'iteration': math.ceil(epoch * of_epoch),
            'main/loss': 1., KEY: accuracy}
           for epoch, accuracy in enumerate(accuracies, 1)]
    for entry, accuracy in zip(log, top5 or ()):
        entry['validation/main/top5_accuracy'] = accuracy
    (folder / 'log').write_text(json.dumps(log))
    return str(folder)


def write_series(folder, recipe, results, **given):
    """Writes a series of train.multitask, of which one run has not ended."""
    settings, _ = multitask.complete(dict(given, recipe=recipe))
    folder.mkdir(parents=True)
    (folder / 'series.json').write_text(json.dumps(
        {'settings': settings, 'seeds': [*range(len(results) + 1)]}))
    for seed, (last, best) in enumerate(results):
        (folder / f'seed-{seed}').mkdir()
        (folder / f'seed-{seed}' / 'run.json').write_text('{}')
        result = {'seed': seed, 'error': last, 'errors': {}}
        if best is not None:
            result['best_error'] = best
        (folder / f'seed-{seed}' / 'result.json').write_text(
            json.dumps(result))
    return str(folder)


def write_throughput(path, rows, **machine):
    """Writes a file of tools.throughput."""
    path.write_text(json.dumps({
        'table': 'VII', 'machine': machine, 'rows': [
            {'recipe': recipe, 'iterations_per_second': speed,
             'ratio': ratio} for recipe, speed, ratio in rows]}))
    return str(path)
