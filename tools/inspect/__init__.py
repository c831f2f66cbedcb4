"""Shows what the mixtures and modes of a run found."""
