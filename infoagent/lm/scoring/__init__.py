"""Exact log-probabilities of texts under prompts: prefix-shared, stored, split over processes, served."""
