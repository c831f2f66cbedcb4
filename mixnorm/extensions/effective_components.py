from chainer.training import extension

from mixnorm.links import GroupMixtureNormalization, MixtureNormalization


class EffectiveComponents(extension.Extension):

    """Trainer extension that reports how many components are effective.

    For each :class:`~mixnorm.links.MixtureNormalization` and
    :class:`~mixnorm.links.GroupMixtureNormalization` of the model it reports
    the number of components that its fit to the last mini-batch kept, as
    ``n_effective`` with the link's path, such as
    ``n_effective/predictor/conv3/norm``.  Reading it waits for a GPU.

    Source: M. M. Kalayeh and M. Shah, *Training Faster by Separating Modes
    of Variation in Batch-normalized Models* (2018), figure 9.

    """

    trigger = 1, 'epoch'
    # Before the reports, which read the observation.
    priority = extension.PRIORITY_EDITOR
    name = 'EffectiveComponents'

    def __call__(self, trainer):
        target = trainer.updater.get_optimizer('main').target
        for path, link in target.namedlinks():
            if isinstance(link, (
                    GroupMixtureNormalization, MixtureNormalization)):
                n_effective = link.n_effective
                if n_effective is not None:
                    trainer.observation[f'n_effective{path}'] = n_effective
