"""Prepared records: how they are made, kept and read."""
