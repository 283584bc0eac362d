"""A booted guest: QEMU, the two serial lines, and what they say."""
