"""Analysis of records: comparison, verdict, curves, what explains accuracy, the frontier."""
