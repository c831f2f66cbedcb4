"""The papers' experiments, as settings of the training scripts."""
