"""Synthetic screening mammograms."""
