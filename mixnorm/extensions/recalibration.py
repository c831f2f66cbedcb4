import itertools

import chainer
from chainer import dataset
from chainer.iterators import SerialIterator
from chainer.training import extension

from mixnorm.checks import check_flag, check_integer
from mixnorm.recalibration import MAX_SEED, recalibrate


class Recalibration(extension.Extension):

    """Trainer extension that evaluates with statistics of the weights' own.

    It runs :func:`mixnorm.recalibrate` with mini-batches of the training set,
    and then an evaluator a second time.  What that reports, such as
    ``validation/main/accuracy``, is reported with the extension's name before
    it: ``recalibrated/validation/main/accuracy``.  The two figures tell how
    well a model is optimized from how far its statistics lag behind.

    The mini-batches are full, drawn from the training set without
    replacement until it is used up, and then again; they are the same at each
    evaluation.  Afterwards the old statistics come back: training, and what
    it saves, is what it would be without the extension.

    With the evaluator's trigger it is called after the evaluator and before
    the reports, whichever of them is added first.  It has no state to save.

    Args:
        evaluator (~chainer.training.extensions.Evaluator): The evaluator,
            whose target ``'main'`` is recalibrated.
        training_set (sequence): The training set.
        n_batches (int): Number of mini-batches.
        batch_size (int): Number of examples in each.
        converter (callable): Takes a list of examples and a device, and
            returns what the target is called with.
        seed (int): Seed of all that is drawn, by dropout as well.
        restore (bool): If ``False``, the new statistics stay, and training
            goes on with them.

    Raises:
        ValueError: If an argument is out of its range.

    Source: see :func:`mixnorm.recalibrate`.

    .. admonition:: Example

        .. code-block:: python

            evaluator = extensions.Evaluator(test_iterator, classifier)
            trainer.extend(evaluator)
            trainer.extend(mixnorm.extensions.Recalibration(
                evaluator, train, n_batches=50, batch_size=128))

    """

    trigger = 1, 'epoch'
    # After the evaluators, which see the statistics from before.
    priority = extension.PRIORITY_WRITER - 1
    default_name = 'recalibrated'
    name = None

    def __init__(self, evaluator, training_set, n_batches, batch_size,
                 converter=dataset.concat_examples, seed=0, restore=True):
        check_integer('n_batches', n_batches, 1)
        check_integer('batch_size', batch_size, 1)
        check_integer('seed', seed, 0, MAX_SEED)
        check_flag('restore', restore)
        if len(training_set) == 0:
            raise ValueError('training_set is empty: it must hold one example '
                             'or more')
        self._evaluator = evaluator
        self._training_set = training_set
        self._n_batches = n_batches
        self._batch_size = batch_size
        self._converter = converter
        self._seed = seed
        self._restore = restore

    def __call__(self, trainer=None):
        """Recalibrates and evaluates.

        Args:
            trainer (~chainer.training.Trainer): What the evaluator is called
                with.

        Returns:
            dict: What is reported.

        """
        statistics = recalibrate(
            self._evaluator.get_target('main'), self._batches(), self._seed)
        if not self._restore:
            # It knows the old ones no longer.
            statistics.pop_all()
        observation = {}
        with statistics, chainer.Reporter().scope(observation):
            self._evaluator(trainer)
        prefix = self.name or self.default_name
        found = {f'{prefix}/{name}': value
                 for name, value in observation.items()}
        chainer.report(found)
        return found

    def _batches(self):
        device = self._evaluator.get_target('main').device
        batches = SerialIterator(self._training_set, self._batch_size)
        for batch in itertools.islice(batches, self._n_batches):
            yield self._converter(batch, device)
