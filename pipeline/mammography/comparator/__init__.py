"""Mammography's comparator (§3.5): exams for the four-view network, its heat maps and features, computed once."""
