"""What Chainer's exporter fixes that need not be fixed."""
from onnx_chainer.functions import convert_Reshape

from mixnorm.exporting.graph import Graph


def reshape(params):
    """Converts ``Reshape``; a first axis that stays has any length."""
    # It has no shape where the shape is an input.
    shape, old = (getattr(z, 'shape', ()) for z in (
        params.func, params.func.inputs[0]))
    if not (shape and old and shape[0] == old[0] > 0):
        return convert_Reshape(
            params.func, params.opset_version, params.input_names,
            params.output_names, params.context)
    graph = Graph(params)
    return graph.finish(graph.op(
        'Reshape', params.input_names[0], [0, *shape[1:]]))
