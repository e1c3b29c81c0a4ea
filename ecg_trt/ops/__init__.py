"""Pixel work: warps, decoding and lines, written once for each kind of memory."""
