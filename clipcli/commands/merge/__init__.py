"""`merge`: the outputs of the shards of a run, as the output of the whole run."""
