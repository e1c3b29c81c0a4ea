"""From traces to leads in millivolts: time, gaps, beats, and what the limb leads have in common."""
