"""A guest under gdb: what gdb is told of it, and a recorded round that is booted again for it."""
