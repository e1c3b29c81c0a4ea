"""After the record: beats, intervals, and what else follows from the signal. Research use only, not a diagnosis."""
