"""Conversion of traces to leads in millivolts: time, gaps, beats, and consistency of the limb leads."""
