"""Synthetic 3D breast ultrasound."""
