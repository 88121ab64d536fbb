"""Files that are whole or not there, whatever happens to the run that writes them."""
