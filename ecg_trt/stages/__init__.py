"""Stages of the pipeline, one callable each: pre-processing, network and decoding."""
