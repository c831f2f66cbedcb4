"""A process that does not find PyTorch."""


# What a program begins with, before it imports anything else.
WITHOUT_TORCH = '''
import importlib.metadata
version = importlib.metadata.version
def version_but_of_torch(name):
    if name == 'torch':
        raise importlib.metadata.PackageNotFoundError(name)
    return version(name)
importlib.metadata.version = version_but_of_torch
'''
