"""What everything stands on: errors, files, signals, processes, the command line."""
