"""Shows a training run on the terminal: a bar with numbers, and a line per validation."""

from __future__ import annotations

from collections.abc import Mapping

from clipcli.cli.columns import format_size
from clipcli.cli.display import Display
from clipcli.events import CheckpointSaved, Event, Mixed, PairsFound, StepDone, Validated

# Without a terminal, steps are reported in about so many lines.
_LINES = 20
# Parts of the keys of metrics, as they are shown.
_METRICS = {
    "zero_shot_": "zero-shot ",
    "image_to_text_": "image→text ",
    "text_to_image_": "text→image ",
    "retain_": "retained ",
    "val_": "validation ",
    "top": "top-",
}


class TrainDisplay(Display):
    """Shows the events of training as well as those of all commands."""

    def show(self, event: Event) -> None:
        """Render one event."""
        match event:
            case PairsFound(count, skipped):
                self.say(f"{count:,} pairs" + (f", {skipped:,} more skipped" if skipped else ""))
            case StepDone():
                self._step(event)
            case Validated(step, metrics):
                self.say(f"step {step:,}: {format_metrics(metrics)}")
            case CheckpointSaved(step, folder) if self.verbose:
                self.say(f"step {step:,}: saved {folder}")
            case Mixed(alpha, validation, retention, chosen):
                numbers = {"validation": validation, "retained": retention}
                shown = [f"{name} {value:.2%}" for name, value in numbers.items() if value is not None]
                self.say(f"{'kept' if chosen else 'mix'} {alpha:.0%}: {', '.join(shown)}")
            case _:
                super().show(event)

    def _step(self, event: StepDone) -> None:
        numbers = [
            f"loss {event.loss:.4f}",
            f"rate {event.lr:.2e}",
            f"temperature {1 / event.logit_scale:.4f}",
            f"{event.images_per_second:,.0f} images/s",
            *([] if event.memory is None else [format_size(event.memory)]),
        ]
        self.detail = ("", *numbers)
        self.advance("Steps", event.step, event.steps, count=f"{event.step:,}/{event.steps:,}")
        if not self.live and (event.step == 1 or event.step % -(-event.steps // _LINES) == 0):
            self.say(
                f"step {event.step:,}/{event.steps:,}: {'  '.join(numbers)}  {event.seconds_left / 60:,.1f} min left"
            )


def format_metrics(metrics: Mapping[str, float]) -> str:
    """Metrics in one line, losses as numbers and shares as per cent."""
    return ", ".join(
        f"{_metric_name(key)} {value:.4f}" if "loss" in key else f"{_metric_name(key)} {value:.1%}"
        for key, value in metrics.items()
    )


def _metric_name(key: str) -> str:
    for part, text in _METRICS.items():
        key = key.replace(part, text)
    return key
