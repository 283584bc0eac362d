"""Tests that need no QEMU."""
