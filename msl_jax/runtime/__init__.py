"""What everything else builds on: errors, files, signals, processes, the command line."""
