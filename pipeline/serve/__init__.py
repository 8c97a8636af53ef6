"""What was trained, for others to use."""
