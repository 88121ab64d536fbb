"""`classify`: from images and labels to rows."""
