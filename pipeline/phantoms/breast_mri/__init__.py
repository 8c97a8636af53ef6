"""Synthetic breast MRI."""
