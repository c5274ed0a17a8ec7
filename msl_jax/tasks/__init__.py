"""What is special to each task: its objective and the groups of its parameters."""
