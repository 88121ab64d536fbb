"""The softmax in logarithms, which neither overflows nor rounds to 0, and the loss by it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def log_softmax(logits: Array) -> Array:
    """The logarithm of a softmax over the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_probabilities: Array = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return log_probabilities


def log_loss(logits: Array, truth: NDArray[np.intp]) -> Array:
    """The negative log-likelihood `[N]` of the true classes `[N]` by logits `[N, C]`, in nats."""
    losses: Array = -log_softmax(logits)[np.arange(len(truth)), truth]
    return losses
