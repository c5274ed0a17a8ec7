"""The rows of the paper's tables, trained and put beside each other: see `__main__`."""
