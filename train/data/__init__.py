"""Sets of images, and the batches that are drawn from them."""
