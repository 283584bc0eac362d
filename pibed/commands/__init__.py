"""The command line: one module a verb; only here options are read and results printed."""
