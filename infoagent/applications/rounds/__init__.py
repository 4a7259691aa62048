"""Several rounds of question and summary, and a history that is compacted again and again: texts that follow each other."""
