"""Compressors that write nothing of their own: whole sentences of the document, or its words with some left out."""

from infoagent.baselines.extracting import check_extractive, compress_extractive
from infoagent.baselines.pickers import PICKERS, Picker, picker_of

__all__ = ["PICKERS", "Picker", "check_extractive", "compress_extractive", "picker_of"]
