"""Maps: where in an image the evidence lies."""
