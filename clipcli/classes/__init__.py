"""Classes by their labels and aliases, and the prompt sets that names are put into."""
