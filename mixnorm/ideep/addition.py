"""The sum of several arrays."""


def multi_add(xs):
    """Returns the sum of two arrays or more, of one shape."""
    y = xs[0] + xs[1]
    for x in xs[2:]:
        y += x
    return y
