"""What Chainer's exporter is told while it traces a model.

Arrays that follow from the input, and not variables, would be taken for
constants of the graph: a posterior, or a mixture that was fitted.
"""
import contextlib

import chainer
from onnx_chainer.replace_func import fake_as_funcnode

from mixnorm import links
from mixnorm.compat.repairs import lent
from mixnorm.functions.normalization import fixed_mixture_normalization


@contextlib.contextmanager
def tracing(patch_functions):
    """Traces a model for export.

    Args:
        patch_functions (callable): Chainer's own, which makes a context
            manager that replaces functions it cannot trace otherwise.

    """
    posterior = fake_as_funcnode(
        fixed_mixture_normalization.fixed_posterior, 'fixed_posterior',
        experimental_warning=False)
    # Chainer traces as if a pass was repeated, so that nothing changes in
    # training mode; spectral normalization then takes its vector from the pass
    # before.
    with patch_functions(), _Refusal(), lent(
            vars(fixed_mixture_normalization), fixed_posterior=posterior
            ), chainer.using_config('in_recomputing', chainer.config.train):
        yield


class _Refusal(chainer.LinkHook):

    """Refuses links that cannot be converted, before they do anything."""

    name = 'mixnorm.exporting'

    def forward_preprocess(self, args):
        if isinstance(args.link, links.GroupMixtureNormalization):
            raise ValueError(
                'group mixture normalization cannot be exported to ONNX: it '
                'fits a mixture to each sample, in test mode as well, and '
                'ONNX has no such fit')
        if chainer.config.train and isinstance(args.link, (
                links.BatchRenormalization, links.MixtureNormalization,
                links.ModeNormalization)):
            raise ValueError(
                f'{type(args.link).__name__} can be exported to ONNX in test '
                'mode only: nothing converts what it does in training mode')
