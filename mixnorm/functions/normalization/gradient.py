"""Gradients by arithmetic of their own, which can be differentiated again."""
import chainer
from chainer import function_node


class NormalizationNode(function_node.FunctionNode):

    """A function that gives its gradients itself, and how to compose it.

    A subclass retains all inputs in its forward pass, and has the methods
    below.

    """

    def compute_gradients(self, *inputs_and_gy):
        """Computes the gradients of the inputs.

        Args:
            inputs_and_gy (arrays): The inputs, then the gradient of the
                output.

        Returns:
            tuple of arrays: The gradients, of the inputs' dtypes.

        """
        raise NotImplementedError

    def compose(self, *inputs):
        """Composes the output of Chainer's functions.

        They serve derivatives of second and higher order.

        Args:
            inputs (chainer.Variable): The inputs.

        Returns:
            chainer.Variable: The output.

        """
        raise NotImplementedError

    def backward(self, indexes, grad_outputs):
        return Gradient(self).apply(self.get_retained_inputs() + grad_outputs)


class Gradient(function_node.FunctionNode):

    """Gradient of a node; its own gradient by Chainer's functions.

    Its inputs are the node's and then the gradient of the node's output; its
    outputs are the gradients of the node's inputs.

    Args:
        node (NormalizationNode): After its forward pass.

    """

    def __init__(self, node):
        self._node = node

    def forward(self, inputs):
        self.retain_inputs(tuple(range(len(inputs))))
        return self._node.compute_gradients(*inputs)

    def backward(self, indexes, grad_outputs):
        with chainer.force_backprop_mode():
            # Copies, so that no path leads from gy back to x: gy often
            # depends on it, which is not this function's derivative.
            *inputs, gy = map(
                chainer.functions.identity, self.get_retained_inputs())
            y = self._node.compose(*inputs)
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
