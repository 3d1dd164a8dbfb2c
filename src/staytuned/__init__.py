"""Tune a model, watch it, keep it tuned."""
