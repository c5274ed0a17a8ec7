"""What a workdir holds: configuration, checkpoints, results; and how a run resumes from them."""
