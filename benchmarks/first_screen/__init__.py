"""The two pictures at the head of README.md, see `__main__`."""
