"""What a converter writes its part of a graph with."""
import functools

import numpy
from onnx import helper
from onnx_chainer.onnx_helper import GraphBuilder

from mixnorm.compute.layout import working_dtype

# Versions since which these operators broadcast.
_LEAST_OPSET_VERSIONS = {'Max': 8, 'Min': 8}


class Graph:

    """The part of a graph that one function of Chainer becomes.

    Numbers and arrays may stand in the place of names: they become constants
    of the working dtype, and arrays of integers those of int64.

    Args:
        params (onnx_chainer.functions.converter.FunctionConverterParams):
            What Chainer's exporter gives a converter.

    Attributes:
        shape (tuple of ints): Shape of the function's first input when it was
            traced; the first axis and spatial axes may have another length
            when the graph is run.
        dtype (numpy.dtype): What is computed in: the first input's dtype, or
            float32 for float16.

    """

    def __init__(self, params):
        self._params = params
        self._builder = GraphBuilder()
        self._n_constants = 0
        self._input = params.input_names[0]
        self.shape = params.func.inputs[0].shape
        self.dtype = working_dtype(params.func.inputs[0].dtype)

    def op(self, operator, *inputs, **attributes):
        """Adds a node of one output.

        Args:
            operator (str): Name of ONNX's operator.
            inputs (str, number or array): Names, or constants.
            attributes: The operator's attributes.

        Returns:
            str: Name of the output.

        """
        version = self._params.opset_version
        least = _LEAST_OPSET_VERSIONS.get(operator, version)
        if version < least:
            raise ValueError(
                f'opset_version is {version}: '
                f'{type(self._params.func).__name__} needs {least} at least')
        return self._builder.op(
            operator, list(map(self._name, inputs)), **attributes)

    def _name(self, value):
        if isinstance(value, str):
            return value
        value = numpy.asarray(value)
        self._n_constants += 1
        return self._params.context.add_const(
            value.astype(self.dtype if value.dtype.kind == 'f'
                         else numpy.int64), str(self._n_constants))

    def inputs(self):
        """Returns the function's inputs, in the working dtype."""
        return [self.cast(name, variable.dtype, self.dtype)
                for name, variable in zip(
                    self._params.input_names, self._params.func.inputs)]

    def cast(self, x, dtype, new_dtype):
        """Casts, if the dtypes differ."""
        if dtype == new_dtype:
            return x
        return self.op('Cast', x, to=helper.np_dtype_to_tensor_dtype(
            numpy.dtype(new_dtype)))

    def rows(self, x):
        """Flattens the spatial axes of ``(N, C, *S)``: ``(N, C, L)``."""
        return x if len(self.shape) == 3 else self.op(
            'Reshape', x, [0, self.shape[1], -1])

    def reduce(self, how, x, axis):
        """Reduces along an axis, which stays with length 1.

        Args:
            how (str): ``'Max'``, ``'Mean'`` or ``'Sum'``.
            x (str): What is reduced.
            axis (int): The axis.

        """
        # An attribute, which became an input.
        if self._params.opset_version < (13 if how == 'Sum' else 18):
            return self.op(f'Reduce{how}', x, axes=[axis], keepdims=1)
        return self.op(f'Reduce{how}', x, [axis], keepdims=1)

    def mean(self, x, axis):
        return self.reduce('Mean', x, axis)

    def softmax(self, x, axis):
        """Computes the softmax along any axis; ONNX's is of the last ones."""
        exponentials = self.op('Exp', self.op(
            'Sub', x, self.reduce('Max', x, axis)))
        return self.op(
            'Div', exponentials, self.reduce('Sum', exponentials, axis))

    def square(self, x):
        return self.op('Mul', x, x)

    def standardize(self, deviation, variance, eps):
        """Returns ``deviation / sqrt(variance + eps)``."""
        return self.op('Div', deviation, self.op(
            'Sqrt', self.op('Add', variance, float(eps))))

    def restore(self, y):
        """Returns to the shape and the dtype of the function's first input.

        Args:
            y (str): What :meth:`rows` is the shape of, in the working dtype.

        """
        if len(self.shape) != 3:
            y = self.op('Reshape', y, self.op('Shape', self._input))
        return self.cast(
            y, self.dtype, self._params.func.inputs[0].dtype)

    def finish(self, *outputs):
        """Makes outputs the function's; returns all nodes."""
        for output, name in zip(outputs, self._params.output_names):
            self._builder.op_output_named('Identity', [output], [name])
        return self._builder.nodes()


def converter(convert):
    """Makes a converter that Chainer's exporter takes.

    Args:
        convert (callable): Takes a :class:`Graph`, the function's node and
            the names of its inputs in the working dtype, and returns the name
            of its output.

    Returns:
        callable: The converter.

    """
    @functools.wraps(convert)
    def convert_all(params):
        graph = Graph(params)
        return graph.finish(convert(graph, params.func, *graph.inputs()))

    return convert_all
