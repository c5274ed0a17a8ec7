"""Bounds of what is read, apart from what reads it: configurations know them without Pillow."""

# Width times height. The largest known street scenes (Mapillary) have 22 million pixels; a photo of
# this size takes 450 MB while it is converted.
MAX_PIXELS = 64 * 2**20

# Of all images that are made together, 12 GB of bytes: more than any training has use for.
MAX_BATCH_PIXELS = 2**32
