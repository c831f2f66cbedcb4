"""Batch normalization in test mode."""
import math

from onnx_chainer.functions import convert_FixedBatchNormalization

from mixnorm.exporting.graph import Graph


def fixed_batch_normalization(params):
    """Converts Chainer's ``FixedBatchNormalization``.

    Chainer's own converter writes a momentum of 0, for which ONNX's reference
    evaluator puts the mini-batch's averages in the place of the running ones;
    with 1 these stay.  Nor does it know axes, or parameters of another dtype
    than the input's.

    """
    node, context = params.func, params.context
    n_before = len(context.parameters)
    # It gives running averages the names of the link's.
    written, = convert_FixedBatchNormalization(
        node, params.opset_version, list(params.input_names),
        params.output_names, context)
    # An array has one name: a link's that is called again would lose its
    # first.
    for i in range(n_before, len(context.parameters)):
        array = context.parameters[i]
        context.parameters[i] = array.copy()
        context.set_name(context.parameters[i], context.get_name(array))
    x, *parameters = written.input
    graph = Graph(params)
    in_dtype, dtype = (z.dtype for z in node.inputs[:2])
    x = graph.cast(x, in_dtype, dtype)
    axes = node.key_axis
    order = (*node.axis[:1], *axes, *node.axis[1:])
    moved = order != tuple(range(len(order)))
    if moved:
        x = graph.op('Transpose', x, perm=order)
    shape = None
    if len(axes) != 1:
        shape = graph.op('Shape', x)
        x = graph.op('Reshape', x, [
            0, math.prod(graph.shape[axis] for axis in axes), -1])
        parameters = [graph.op('Reshape', z, [-1]) for z in parameters]
    y = graph.op(
        'BatchNormalization', x, *parameters, epsilon=float(node.eps),
        momentum=1.)
    if shape is not None:
        y = graph.op('Reshape', y, shape)
    if moved:
        y = graph.op('Transpose', y, perm=[
            order.index(axis) for axis in range(len(order))])
    return graph.finish(graph.cast(y, dtype, in_dtype))
