"""Training a generator against a discriminator, and judging the generator."""
