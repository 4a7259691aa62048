"""Measure, train and prove context compressors, with mutual information as the measure."""

__version__ = "0.1.0"
