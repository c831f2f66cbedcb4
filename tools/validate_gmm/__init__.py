"""Compares fits of mixtures with scikit-learn's and extended precision."""
