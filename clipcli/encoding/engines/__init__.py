"""Other engines than torch for the image tower, each held against torch before it is trusted."""
