"""How right a model's labels are: labelled images, what is counted on them, how sure that is, and what is written."""
