"""Measure, train and prove context compressors, with mutual information as the judge."""

__version__ = "0.1.0"
