"""The papers' networks, one per file, with a choice of normalizers."""
