import os
import threading

from chainer.utils import argument
import numpy

from mixnorm.compute.parameters import are_finite


def parse_finetune(kwargs):
    """Returns ``finetune`` from what batch normalization's links are called
    with beside the input."""
    finetune, = argument.parse_kwargs(
        kwargs, ('finetune', False),
        test='test argument is not supported anymore. '
             'Use chainer.using_config')
    return finetune


class RunningAverages:

    """What links with running averages of mini-batches share.

    It stands before a link with the attribute ``decay`` among the classes
    that a link is derived from.

    Attributes:
        N (int): Mini-batches averaged by fine-tuning.

    """

    def start_finetuning(self):
        """Starts the averages over mini-batches of fine-tuning anew."""
        self.N = 0

    def _decay(self, finetune):
        """Returns what share the averages before a mini-batch keep."""
        return 1 - 1 / (self.N + 1) if finetune else self.decay

    def _read_averages(self, *names):
        """Returns running averages of one moment, as other threads train."""
        with _lock:
            return tuple(getattr(self, name) for name in names)

    def _take_averages(self, finetune, **averages):
        """Takes new running averages, if all of them are finite.

        The choice is made on the device: nothing waits for it, but the count
        of fine-tuning.

        """
        with numpy.errstate(over='ignore'):
            # Of another dtype they may be finite no longer.
            new = {name: value.reshape(getattr(self, name).shape).astype(
                getattr(self, name).dtype, copy=False)
                for name, value in averages.items()}
        finite = are_finite(new.values())
        self._set_averages(finetune, finite, **{
            name: self.xp.where(finite, value, getattr(self, name))
            for name, value in new.items()})

    def _set_averages(self, finetune, finite, **averages):
        """Sets running averages.

        Args:
            finetune (bool): Whether to count the mini-batch, if
            finite (array): is true, a boolean without axes.
            averages (arrays): By name.

        """
        with _lock:
            for name, value in averages.items():
                setattr(self, name, value)
        if finetune:
            self.N += int(finite)


def _start_anew():
    global _lock
    # A signal handler may come here while its own thread has the lock.
    _lock = threading.RLock()


_start_anew()
# Another thread may hold the lock when the process forks.
os.register_at_fork(after_in_child=_start_anew)
