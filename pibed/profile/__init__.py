"""Profiles: which functions took how many instructions, cycles and misses, counted exactly."""
