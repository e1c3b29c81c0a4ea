"""The pixel work: resize, warp, remap, written once for each kind of memory."""
