"""Quality of a reading: features, calibration to decibels, and warnings."""
