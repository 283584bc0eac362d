"""Which lines and branches of modules were reached: read out of guests, summed, and shown."""
