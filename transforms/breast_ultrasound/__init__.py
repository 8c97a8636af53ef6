"""Transforms of 3D breast ultrasound."""
