"""Documents and questions: one file per data set, one registry; negatives and counterfactuals."""
