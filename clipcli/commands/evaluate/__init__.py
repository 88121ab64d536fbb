"""`evaluate`: how right labels are, how sure that is, and what is written about it."""
