"""Images with the names of their classes, as `evaluate` reads them."""
