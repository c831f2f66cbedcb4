"""One module for each function, with its node.

A package of its own, because the functions, which
:mod:`mixnorm.functions` exports, are named as their modules are.
"""
