"""Measure a config: cross-validation, races between configs, and a guard around it all."""
