"""`find`: photos by words, by other photos, and photos that are there twice."""
