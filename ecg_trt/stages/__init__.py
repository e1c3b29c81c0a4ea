"""The stages: pre-processing, network and decoding, one callable each."""
