"""Photos in, records out: one decoder and one writer a file."""
