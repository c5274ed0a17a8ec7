"""Networks that give features to heads."""
