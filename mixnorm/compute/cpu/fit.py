"""A whole fit at once, of which main memory has nothing."""


def at_once(x, indices, draws, n_components, kmeans_iter, em_iter, reg_covar,
            min_weight, start=None):
    """Returns ``None``: it is done step by step."""
    return None
