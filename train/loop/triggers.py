"""When a run ends, and when its extensions are called.

Chainer's own triggers remember the iteration at which they were last asked.
These work everything out from where the run stands, so a resumed run, and one
whose length was changed, calls every extension when it should.
"""


class RunLength:

    """Stop trigger that ends a run after so many epochs or iterations.

    Args:
        length (int): How many.
        unit (str): ``'epoch'`` or ``'iteration'``.
        is_interrupted (callable): Returns whether to stop before that.

    """

    def __init__(self, length, unit, is_interrupted):
        self._length = length
        self._unit = unit
        self._is_interrupted = is_interrupted

    def __call__(self, trainer):
        return self.is_reached(trainer) or self._is_interrupted()

    def is_reached(self, trainer):
        """Returns whether a run is as long as it was to be."""
        return getattr(trainer.updater, self._unit) >= self._length

    def get_training_length(self):
        """Returns the length and its unit, for Chainer's progress bar."""
        return self._length, self._unit


class Every:

    """Trigger that fires every so many iterations, and when a run ends.

    Args:
        n_iterations (int or None): How many; ``None`` for every epoch.
        run_length (RunLength): When the run ends.

    """

    def __init__(self, n_iterations, run_length):
        self._n_iterations = n_iterations
        self._run_length = run_length

    def __call__(self, trainer):
        if self._n_iterations is None:
            is_due = trainer.updater.is_new_epoch
        else:
            is_due = trainer.updater.iteration % self._n_iterations == 0
        return is_due or self._run_length.is_reached(trainer)


class AnyOf:

    """Trigger that fires whenever one of several does.

    Args:
        triggers (callables): Triggers that remember nothing.

    """

    def __init__(self, *triggers):
        self._triggers = triggers

    def __call__(self, trainer):
        return any(trigger(trainer) for trigger in self._triggers)
