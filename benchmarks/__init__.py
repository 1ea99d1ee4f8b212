"""Timings, kept apart from tests: ``make bench``."""
