"""MONAI transforms for breast imaging: one family a file, each as an array and a dictionary version."""
