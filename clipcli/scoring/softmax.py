"""The softmax, also in logarithms, which do not round to 0, the loss by it, and the sigmoid."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Float = TypeVar("Float", np.float32, np.float64)


def softmax(logits: NDArray[Float]) -> NDArray[Float]:
    """The softmax over the last axis, in the precision of the logits."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares: NDArray[Float] = powers / powers.sum(axis=-1, keepdims=True)
    return shares


def log_softmax(logits: Array) -> Array:
    """The logarithm of a softmax over the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_probabilities: Array = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return log_probabilities


def log_loss(logits: Array, truth: NDArray[np.intp]) -> Array:
    """The negative log-likelihood `[N]` of the true classes `[N]` by logits `[N, C]`, in nats."""
    losses: Array = -log_softmax(logits)[np.arange(len(truth)), truth]
    return losses


def sigmoid(log_odds: Array) -> Array:
    """The probabilities of log-odds: 1 / (1 + exp(-x)), without its overflow."""
    probabilities: Array = np.exp(-np.logaddexp(0, -log_odds))
    return probabilities
