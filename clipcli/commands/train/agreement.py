"""Checks that all processes of a run train the same: processes on machines of their own read files of their own."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping

from clipcli.commands.train.config_file import without_place
from clipcli.commands.train.data import TrainingData
from clipcli.commands.train.identity import differences
from clipcli.commands.train.processes import Processes
from clipcli.commands.train.settings import FIELDS, TrainConfig
from clipcli.data.pairs import Pair
from clipcli.errors import UsageError
from clipcli.settings import flag

# Settings that a machine may have of its own.
_OWN = ("output", "device", "workers")
_MOST_NAMED = 3


def check_agreement(
    config: TrainConfig, identity: Mapping[str, str], data: TrainingData, *, processes: Processes
) -> None:
    """Raise `UsageError` in all processes where one has other settings, data or another model than the leading one.

    `identity` are the hashes of a run's state. Files that one of both lacks are named.
    """
    if processes.count == 1:
        return
    settings = {name: without_place(getattr(config, name)) for name in FIELDS if name not in _OWN}
    found = processes.gather_objects((processes.name, settings, dict(identity)))
    lead, lead_settings, lead_identity = found[0]
    different: str | None = None
    for rank, (name, others, hashes) in enumerate(found):
        changed = [flag(one) for one in settings if others[one] != lead_settings[one]]
        phrases = differences(lead_identity, hashes)
        # Other data changes settings as well: how many steps there are, for one.
        if lead_identity["DATA"] != hashes["DATA"]:
            # All take part in the exchange, as all see the same differences.
            different = _of_files(data.pairs, rank, (lead, name), processes)
        elif phrases:
            different = f"on {name} {', and '.join(phrases)} than on {lead}; give both the same"
        elif changed:
            different = f"{name} has another {', '.join(changed)} than {lead}; give all processes the same settings"
        if different is not None:
            raise processes.alike(UsageError(different))


def _of_files(pairs: Iterable[Pair], rank: int, names: tuple[str, str], processes: Processes) -> str:
    """How the files of the process `rank` differ from those of the leading one; `names` are both."""
    own = _files(pairs) if processes.rank in (0, rank) else None
    lead, other = (processes.gather_objects(own)[n] for n in (0, rank))
    lead_name, name = names
    for has, lacks, has_name, lacks_name in ((lead, other, lead_name, name), (other, lead, name, lead_name)):
        missing = sorted(has.keys() - lacks.keys())
        if missing:
            more = f" and {len(missing) - _MOST_NAMED:,} more" if len(missing) > _MOST_NAMED else ""
            return (
                f"{lacks_name} lacks {', '.join(missing[:_MOST_NAMED])}{more} of DATA, which {has_name} has; "
                "copy what is missing, or give all processes the same DATA"
            )
    counts = [(file, count, other[file]) for file, count in sorted(lead.items()) if count != other[file]]
    if counts:
        file, count, of_other = counts[0]
        return f"{name} has {of_other:,} pairs of {file}, and {lead_name} {count:,}; give all processes the same DATA"
    return f"{name} has other captions, labels or names of images than {lead_name}; give all processes the same DATA"


def _files(pairs: Iterable[Pair]) -> dict[str, int]:
    """The files that images come from, below the folder of them all, with the number of pairs in each."""
    counts = Counter(pair.item.reference.path or pair.item.id for pair in pairs)
    folder = os.path.commonpath([os.path.dirname(os.path.abspath(path)) for path in counts]) if counts else ""
    return {os.path.relpath(os.path.abspath(path), folder or "."): count for path, count in counts.items()}
