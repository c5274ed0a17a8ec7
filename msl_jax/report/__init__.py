"""A run as one self-contained HTML page: tables, curves, gallery, configuration."""
