"""What the variants optimise."""
