"""Everything that must be measured on a machine with a GPU, in one command: see `__main__`."""
