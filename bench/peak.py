"""Runs a task as `./inv` does, then says how much memory this process had at most."""

from __future__ import annotations

import resource
import sys

from invoke.main import program

# Processes that this one starts may load it again.
if __name__ == "__main__":
    try:
        program.run(sys.argv)
    finally:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(f"peak {peak / 1024:.0f} MiB", file=sys.stderr)
