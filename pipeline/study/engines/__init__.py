"""What runs a study's steps."""
