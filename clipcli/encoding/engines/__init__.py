"""Engines beside torch for the image tower, each compared with torch before it is used."""
