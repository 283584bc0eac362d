"""Runs as they lie in their folders: written, found, and read again."""
