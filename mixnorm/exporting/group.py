"""Group normalization, which layer and instance normalization are, too."""
from mixnorm.exporting.graph import converter, Graph


@converter
def group_normalization(graph, node, x, gamma, beta):
    """Converts Chainer's ``GroupNormalization``, of any floating dtype."""
    n_channels = graph.shape[1]
    x = graph.op('Reshape', x, [0, node.groups, -1])
    deviation = graph.op('Sub', x, graph.mean(x, 2))
    xhat = graph.standardize(
        deviation, graph.mean(graph.square(deviation), 2), node.eps)
    xhat = graph.op('Reshape', xhat, [0, n_channels, -1])
    gamma, beta = (
        graph.op('Reshape', z, [-1, 1]) for z in (gamma, beta))
    return graph.restore(
        graph.op('Add', graph.op('Mul', xhat, gamma), beta))


def zeros_for_missing_gradients(params):
    """Converts what stands before group normalization for its gradients."""
    return Graph(params).finish(*params.input_names)
