"""Transforms of mammograms."""
