"""Verdicts from what was seen and what was wanted. Pure."""
