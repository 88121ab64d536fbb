"""The table of kinds of score, and the threshold of several labels, light enough to import for `--help`."""

from __future__ import annotations

SCORES = {
    "auto": "the model's own: softmax, or sigmoid for SigLIP-style models",
    "softmax": "probabilities over the classes, at the model's logit scale",
    "sigmoid": "each class by itself, with the model's bias",
    "cosine": "the similarity as it is, from -1 to 1",
}
# With several labels, the score from which on an image has a label.
THRESHOLD = 0.5
