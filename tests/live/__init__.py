"""Tests that boot the real images."""
