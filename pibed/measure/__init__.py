"""Measuring: rounds side by side, from the begin of a run to its end."""
