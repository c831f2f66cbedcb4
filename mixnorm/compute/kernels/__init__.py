"""The CUDA sources, and what compiles and launches them."""
import os
import re

# Types of activations, as CUDA names them.
TYPES = {'float16': '__half', 'float32': 'float', 'float64': 'double'}


def read_source(name):
    """Reads a CUDA source with the headers beside it put in their places.

    A compiler then needs no include path to them, and a cache of compiled
    modules that is keyed by the source notices when a header changes.

    Args:
        name (str): Name of the ``.cu`` file without the ending.

    Returns:
        str: The source.

    """
    folder = os.path.dirname(os.path.abspath(__file__))

    def read(file_name):
        with open(os.path.join(folder, file_name), encoding='utf-8') as f:
            return re.sub(r'^#include "(\w+\.h)"$',
                          lambda match: read(match.group(1)),
                          f.read(), flags=re.MULTILINE)

    return read(f'{name}.cu')
