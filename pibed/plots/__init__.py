"""Plots of samples and statistics: drawn, and written into a run's folder."""

from pibed.plots.all import draw, path, write

__all__ = ["draw", "path", "write"]
