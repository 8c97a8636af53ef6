"""Exams as a user has them, one modality a file: found on disk, and answered with scores, maps and pictures."""
