"""Counterfactual documents: the same text with one fact changed, and the spans, values and words for it."""
