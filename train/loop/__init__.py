"""One training run, and series of runs that differ by their seed."""
