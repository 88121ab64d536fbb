"""The preprocessing of a model: how an image becomes its input."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """The preprocessing that a checkpoint states: how an image becomes the model's input.

    `size` is (height, width) in pixels. `resize_mode` is `shortest` (resize the shorter side, then crop), `longest`
    (resize the longer side, then pad with `fill_color`) or `squash`. `mean` and `std` are per channel, for values from
    0 to 1.
    """

    size: tuple[int, int]
    resize_mode: str
    interpolation: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fill_color: int

    def __str__(self) -> str:
        height, width = self.size
        numbers = " ".join(f"{number:.3g}" for number in (*self.mean, *self.std))
        return f"{height}×{width} pixels, {self.resize_mode}, {self.interpolation}, mean and std {numbers}"
