"""What images are built from: the distribution's packages, and the lock on them."""
