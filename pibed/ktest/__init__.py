"""Test programs in the guest: run, judged, and reported."""
