"""How far a reading can be trusted: what speaks for and against it, and what that comes to in decibels."""
