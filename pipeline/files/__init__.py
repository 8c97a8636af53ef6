"""How files are written, read and kept: the one place for it."""
