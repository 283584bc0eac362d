"""What everybody talks about: machines, experiments, suites, plans, and samples."""
