"""Transforms of breast MRI."""
