"""`calibrate`: from a few labelled images to a classifier whose scores are true."""
