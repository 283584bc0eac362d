"""The study on a real Pi: its numbers, and which of its findings a run shows."""
