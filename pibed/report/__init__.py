"""What is said of a run: words, the answer, pages, tables, changes, and the list of runs."""
