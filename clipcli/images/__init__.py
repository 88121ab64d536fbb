"""From bytes to pixels: decoded, upright, resized to a model's input, in threads."""
