"""What a workdir holds: configuration, checkpoints, results; and how a run goes on from there."""
