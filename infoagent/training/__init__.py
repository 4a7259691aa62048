"""What the training scripts share: data and negatives, the adapter, the run's directory, callbacks."""
