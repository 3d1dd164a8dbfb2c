"""A table in, a tuned model out."""
