"""One fit, many scores: hyperparameters whose whole column of values comes from a single fit."""
