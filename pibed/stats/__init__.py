"""Statistics of samples, and nothing but: no files, no words for people."""
