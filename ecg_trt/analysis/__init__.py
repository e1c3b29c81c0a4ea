"""What follows from a record: beats and intervals, classes of heartbeats, activation and potentials of the heart."""
