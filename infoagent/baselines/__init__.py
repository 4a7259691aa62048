"""Compressors that write nothing of their own: whole sentences of the document, or its words with some left out."""

from infoagent.baselines.extracting import cannot_work, check_extractive, compress_extractive, first_of, unusable
from infoagent.baselines.pickers import PICKERS, Picker, picker_of

__all__ = ["PICKERS", "Picker", "cannot_work", "check_extractive", "compress_extractive", "first_of", "picker_of", "unusable"]
