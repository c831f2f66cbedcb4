from chainer.utils import argument

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

    def _take_averages(self, finetune, **averages):
        """Takes new running averages, if all of them are finite.

        The choice is made on the device: nothing waits for it, but the count
        of fine-tuning.

        """
        finite = are_finite(averages.values())
        for name, new in averages.items():
            old = getattr(self, name)
            setattr(self, name, self.xp.where(
                finite, new.reshape(old.shape), old).astype(
                    old.dtype, copy=False))
        if finetune:
            self.N += int(finite)
