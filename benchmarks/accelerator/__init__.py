"""Everything that has to be seen on a machine with a GPU, in one command: see `__main__`."""
