"""Screening mammography: its views, cases, regions, evaluations and answers."""
