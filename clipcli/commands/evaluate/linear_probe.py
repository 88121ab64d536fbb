"""The linear probe: logistic regression on frozen image embeddings, as in Radford et al. 2021.

scikit-learn's, with L-BFGS. How strongly it is regularised is chosen by the likelihood of images of the training data
that the choice is not fitted on: a fifth of all, or with few shots up to 4 further images a class, as in CoOp (Zhou et
al. 2022).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clipcli.commands.evaluate.classification import answers, in_pieces, log_softmax
from clipcli.commands.evaluate.intervals import Floats
from clipcli.commands.evaluate.results import Answers, Array, Places
from clipcli.errors import UsageError

STRENGTHS = (0.1, 1.0, 10.0, 100.0, 1000.0, 10000.0)
_HELD_OUT = 5
_MOST_HELD_OUT_SHOTS = 4
_MOST_STEPS = 1000
_PATIENCE = 2


@dataclass(frozen=True, slots=True)
class Split:
    """Which images a probe is fitted on in the end, and which ones serve to choose its regularisation."""

    fit: Places
    choose_fit: Places
    choose_on: Places

    def within(self, places: Places) -> Split:
        """The same images by where they stand among `places`, which are sorted and hold all of them."""
        return Split(*(np.searchsorted(places, part) for part in (self.fit, self.choose_fit, self.choose_on)))


@dataclass(frozen=True, slots=True)
class Fitted:
    """A probe: its weights `[C, D]` and bias `[C]`, the regularisation C, and whether it converged."""

    weights: Floats
    bias: Floats
    strength: float
    converged: bool


def check_shots(truth: Places, labels: Sequence[str], shots: Sequence[int], *, where: str) -> None:
    """Raise `UsageError` where a class has too few images for so many shots and one more to choose with."""
    counts = np.bincount(truth, minlength=len(labels))
    fewest = int(counts.argmin())
    most = max(shots, default=1)
    if counts[fewest] < most + 1:
        raise UsageError(
            f"{where}: class '{labels[fewest]}' has {counts[fewest]} images, and expected are {most + 1}:"
            f" {most} to fit and at least one more to choose the regularisation on; add images, or give fewer --shots"
        )


def drawn(truth: Places, *, shots: Sequence[int | None], seeds: int) -> Places:
    """The images that the probes of all shots and seeds are drawn from `truth` `[N]` to see, in order."""
    splits = [
        split(truth, shots=number, seed=seed) for number in shots for seed in range(1 if number is None else seeds)
    ]
    return np.unique(np.concatenate([np.concatenate([one.fit, one.choose_on]) for one in splits]))


def split(truth: Places, *, shots: int | None, seed: int, usable: NDArray[np.bool_] | None = None) -> Split:
    """Images of the classes `truth` `[N]`, drawn with the seed: `shots` a class, or all where it is `None`.

    In place of one that is not `usable` `[N]` the next is drawn, and the others stay the same.
    """
    rng = np.random.default_rng(seed)
    fit, choose_fit, choose_on = [], [], []
    for place in np.unique(truth):
        mine = rng.permutation(np.flatnonzero(truth == place))
        if usable is not None:
            mine = mine[usable[mine]]
        if shots is None:
            held = len(mine) // _HELD_OUT or min(1, len(mine) - 1)
            fit.append(mine)
            choose_fit.append(mine[held:])
            choose_on.append(mine[:held])
        else:
            fit.append(mine[:shots])
            choose_fit.append(mine[:shots])
            choose_on.append(mine[shots : shots + min(shots, _MOST_HELD_OUT_SHOTS)])
    return Split(*(np.sort(np.concatenate(parts)) for parts in (fit, choose_fit, choose_on)))


def fit(embeddings: Array, truth: Places, chosen: Split) -> Fitted:
    """A probe on embeddings `[N, D]`, L2-normalised, with the regularisation that is best on the held-out images.

    The best is the likeliest there: the share that is right is the same for many strengths where images are few.
    """
    best, least, worse = STRENGTHS[0], np.inf, 0
    last: Fitted | None = None
    for last in _path(embeddings[chosen.choose_fit], truth[chosen.choose_fit]):
        loss = float(probed(last, embeddings[chosen.choose_on], truth[chosen.choose_on]).loss.mean())
        worse = worse + 1 if loss > least else 0
        if loss < least:
            best, least = last.strength, loss
        if worse == _PATIENCE:
            break
    if last is not None and last.strength == best and len(chosen.fit) == len(chosen.choose_fit):
        return last
    return next(_path(embeddings[chosen.fit], truth[chosen.fit], strengths=(best,)))


def probed(probe: Fitted, embeddings: Array, truth: Places) -> Answers:
    """The probe's answers on embeddings `[M, D]` of the classes `[M]`; its scores are probabilities."""

    def answer(embeddings: Array, truth: Places) -> Answers:
        logits = _logits(probe, embeddings)
        logarithms = log_softmax(logits)
        scores = np.exp(logarithms).astype(np.float32)
        return answers(order=logits, scores=scores, log_probabilities=logarithms, truth=truth)

    return in_pieces(answer, embeddings, truth)


def _logits(probe: Fitted, embeddings: Array) -> Floats:
    logits: Floats = embeddings.astype(np.float64) @ probe.weights.T + probe.bias
    return logits


def _path(embeddings: Array, truth: Places, *, strengths: Sequence[float] = STRENGTHS) -> Iterator[Fitted]:
    """A probe for each strength, from the most regularised on, each begun where the last one ended."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(max_iter=_MOST_STEPS, warm_start=True)
    for strength in strengths:
        model.C = strength
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(embeddings.astype(np.float64), truth)
        weights, bias = model.coef_, model.intercept_
        if len(model.classes_) == 2:
            # For two classes there is one logit, which is that of the second less that of the first.
            weights, bias = np.concatenate([-weights, weights]) / 2, np.concatenate([-bias, bias]) / 2
        yield Fitted(weights.copy(), bias.copy(), strength, bool((model.n_iter_ < _MOST_STEPS).all()))
