"""Training scripts, and the modules they are made of."""
