"""What a guest's tracepoints say of one command: recorded, decoded, and written for viewers."""
