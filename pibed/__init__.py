"""A reproducible testbed for kernel-module experiments on an emulated Raspberry Pi."""

__version__ = "0.1.0"
