"""The data sets, each with its files, splits and classes."""
