"""Scripts that look at what training wrote."""
