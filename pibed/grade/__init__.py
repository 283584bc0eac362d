"""Submitted modules: built, tested and measured by a rubric, and given marks."""
