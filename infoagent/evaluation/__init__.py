"""One evaluator for frozen compressors and trained checkpoints: records, summaries, paired comparison."""
