"""What benchmarks share: contestants, clocks, the sides that are compared."""
