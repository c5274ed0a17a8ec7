"""State, optimizer, step and loop; they know no task."""
