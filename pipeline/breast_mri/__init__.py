"""Breast MRI: what its exams are divided into, their cases, evaluations and answers."""
