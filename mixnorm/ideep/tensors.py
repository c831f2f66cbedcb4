"""From NumPy's arrays to PyTorch's tensors."""
import numpy
import torch


def tensor(x):
    """Returns a contiguous tensor with the elements of an array.

    It shares the array's memory where that is contiguous and writable, which
    PyTorch asks for though no operator here writes to it.
    """
    return torch.from_numpy(
        numpy.require(x, requirements=['C', 'ALIGNED', 'WRITEABLE']))
