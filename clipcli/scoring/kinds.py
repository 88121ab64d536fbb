"""The table of kinds of score, and the default thresholds, light enough to import for `--help`."""

from __future__ import annotations

# Of images of the classes, about one in 50 scores higher as unknown. One class alone is a question, whose answer is no
# where that is likelier than yes.
UNKNOWN_AT, UNKNOWN_AT_ALONE = 0.8, 0.5
UNKNOWN_BY_DEFAULT = f"{UNKNOWN_AT}, and {UNKNOWN_AT_ALONE} for one class alone"

SCORES = {
    "auto": "the model's own: softmax, or sigmoid for SigLIP-style models",
    "softmax": "probabilities over the classes, at the model's logit scale",
    "sigmoid": "each class by itself, with the model's bias",
    "cosine": "the similarity as it is, from -1 to 1",
}
# With several labels, the score from which on an image has a label.
THRESHOLD = 0.5
