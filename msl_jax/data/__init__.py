"""From files on disk to batches: data sets, labels, prepared records, augmentation, pipeline."""
