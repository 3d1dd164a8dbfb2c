"""Are these different? Tests on two samples, on pairs, and on one number at a time."""
