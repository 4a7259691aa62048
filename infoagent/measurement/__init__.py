"""Measurement of mutual information: one compressor, one score matrix, and how good its negatives are."""
