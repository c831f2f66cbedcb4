"""A gradient by a formula that can itself be differentiated."""
import chainer
from chainer import function_node


class Gradient(function_node.FunctionNode):

    """Gradient of a function by a formula; its own by Chainer's functions.

    Its inputs are the function's and then the gradient of its output; its
    outputs are the gradients of the function's inputs.

    Args:
        formula (callable): From arrays, the inputs, to a tuple of arrays, the
            outputs.
        composition (callable): From variables, the function's inputs, to its
            value in Chainer's functions, which differentiate it as often as
            wanted.

    """

    def __init__(self, formula, composition):
        self._formula = formula
        self._composition = composition

    def forward(self, inputs):
        self.retain_inputs(tuple(range(len(inputs))))
        return self._formula(*inputs)

    def backward(self, indexes, grad_outputs):
        with chainer.force_backprop_mode():
            # Copies, so that no path leads from gy back to x: gy often
            # depends on it, which is not this function's derivative.
            *inputs, gy = map(
                chainer.functions.identity, self.get_retained_inputs())
            y = self._composition(*inputs)
            first = chainer.grad(
                [y], inputs, [gy], enable_double_backprop=True)
            pairs = [(g, gg) for g, gg in zip(first, grad_outputs)
                     if g is not None and gg is not None]
            if not pairs:
                return (None,) * (len(inputs) + 1)
            outputs, grads = zip(*pairs)
            return tuple(chainer.grad(
                outputs, inputs + [gy], grads,
                enable_double_backprop=chainer.config.enable_backprop))
