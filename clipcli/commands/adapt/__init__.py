"""`adapt`: from corrections to a better classifier."""
