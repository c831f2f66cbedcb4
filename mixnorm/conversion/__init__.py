"""Normalization layers of a finished model, replaced in place."""
