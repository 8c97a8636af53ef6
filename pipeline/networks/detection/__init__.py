"""Detectors that need pixelwise labels: Retina U-Net and Mask R-CNN, the first paper's comparison methods (§3.2)."""
