"""Deep research: a predictor plans, a provider searches, a compressor compresses each source, the predictor reports."""
