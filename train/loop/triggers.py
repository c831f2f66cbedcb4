"""When a run ends, and when its extensions are called.

Chainer's own triggers remember the iteration at which they were last asked.
These work everything out from where the run stands, so a resumed run, and one
whose length was changed, calls every extension when it should.
"""


from train.loop.schedule import n_epochs


class RunLength:

    """Stop trigger that ends a run after so many epochs or iterations.

    Args:
        length (float): How many; of epochs, the iteration that reaches it
            is the last.
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
        updater = trainer.updater
        n_done = (n_epochs(updater) if self._unit == 'epoch'
                  else updater.iteration)
        return n_done >= self._length

    def get_training_length(self):
        """Returns the length and its unit, for Chainer's progress bar."""
        return self._length, self._unit


class Every:

    """Trigger that fires every so many iterations, and when a run ends.

    Args:
        run_length (RunLength): When the run ends.
        intervals (int or None): How many iterations; ``None`` for an epoch.
            With several of them, it fires whenever one is over.

    """

    def __init__(self, run_length, *intervals):
        self._run_length = run_length
        self._intervals = intervals

    def __call__(self, trainer):
        updater = trainer.updater
        return self._run_length.is_reached(trainer) or any(
            updater.is_new_epoch if interval is None
            else updater.iteration % interval == 0
            for interval in self._intervals)
