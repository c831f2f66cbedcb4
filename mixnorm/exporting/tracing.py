"""What Chainer's exporter is told while it traces a model."""
import contextlib
import functools

from onnx_chainer.replace_func import fake_as_funcnode

from mixnorm.compat.repairs import lent

from mixnorm.functions.normalization import fixed_mixture_normalization
from mixnorm.links import group_mixture_normalization
from mixnorm.links import mixture_normalization


def _refuse(message, *args, **kwargs):
    raise ValueError(message)


# By module, what stands in the place of names there.  Arrays that follow from
# the input would be taken for constants of the graph.
_REPLACED = (
    (fixed_mixture_normalization, {
        'fixed_posterior': fake_as_funcnode(
            fixed_mixture_normalization.fixed_posterior, 'fixed_posterior',
            experimental_warning=False)}),
    (group_mixture_normalization, {
        'fit_sets': functools.partial(
            _refuse, 'group mixture normalization cannot be exported to ONNX: '
            'it fits a mixture to each sample, in test mode as well, and ONNX '
            'has no such fit')}),
    (mixture_normalization, {
        'mixture_normalization': functools.partial(
            _refuse, 'mixture normalization can be exported to ONNX in test '
            'mode only: in training mode it fits a mixture to the '
            'mini-batch, and ONNX has no such fit')}),
)


def tracing(patch_functions):
    """Extends what Chainer's exporter replaces while it traces a model.

    Args:
        patch_functions (callable): Its own ``patch_functions``.

    Returns:
        callable: Likewise makes a context manager.

    """
    @contextlib.contextmanager
    def extended():
        with contextlib.ExitStack() as stack:
            stack.enter_context(patch_functions())
            for module, names in _REPLACED:
                stack.enter_context(lent(vars(module), **names))
            yield

    return extended
