"""What benchmarks measured of the memory of boards, and a run of the experiment `memory`."""
