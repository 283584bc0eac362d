"""Tests of pibed."""
