"""The drawn street scenes of the demo: a data set without files."""
