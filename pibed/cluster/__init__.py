"""Rounds on other machines, by dask.distributed (docs/cluster.md)."""
