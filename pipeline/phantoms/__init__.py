"""Synthetic cohorts: exams with a known truth, to try, test and benchmark everything without patients."""
