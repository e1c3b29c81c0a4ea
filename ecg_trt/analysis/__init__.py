"""After the record: beats, intervals and what follows from them."""
