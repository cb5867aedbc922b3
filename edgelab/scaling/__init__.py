"""Training on more than one processor: processes started and ended, strategies, stages, a search."""
