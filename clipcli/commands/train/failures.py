"""What a process of a run tells the others when it fails, so that none of them waits for it for ever.

Processes that wait for another in a collective on cards learn of its end after ten minutes, if at all, and cannot be
interrupted. So each looks every second, in a thread, at the store through which the group was made.
"""

from __future__ import annotations

import os
import threading
import time
from datetime import timedelta

from torch.distributed import TCPStore  # type: ignore[attr-defined]

from clipcli.errors import ClipcliError, one_line

_EVERY = 1.0
# Seconds that a process has to end by itself, once another has failed, and to learn why a collective failed.
_GRACE, _WORD, _BETWEEN = 10.0, 2.0, 0.1
_EXIT_CODE = 1
_GONE = ("Connection closed by peer", "Connection reset by peer", "NCCL", "Broken pipe")


class Failures:
    """The word of the first process that fails, for the process called `name`.

    The group must be there. `key` is where the word is kept: torchrun keeps the store when it starts processes again.
    """

    def __init__(self, name: str, *, key: str) -> None:
        self._name, self._key = name, key
        host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        self._store = TCPStore(host, port, is_master=False, timeout=timedelta(seconds=30), wait_for_workers=False)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="failures", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the watch."""
        self._stopped.set()
        self._thread.join()

    def cause(self, error: BaseException) -> ClipcliError | None:
        """End the watch after an error here, and tell the others of it; `None` where it is this process's own.

        Where the error comes of the end of another process, it is the word of that.
        """
        self.stop()
        broken = isinstance(error, RuntimeError) and any(words in str(error) for words in _GONE)
        try:
            if broken:
                end = time.monotonic() + _WORD
                while (word := self._word()) is None and time.monotonic() < end:
                    time.sleep(_BETWEEN)
                return ClipcliError(f"stopped, as {word or 'another process of the run is gone'}; go on with --resume")
            what = one_line(error) if isinstance(error, Exception) else "was stopped"
            self._store.compare_set(self._key, "", f"{self._name} failed: {what}")
        except RuntimeError:
            # The store is gone with the process or the agent that held it.
            return None
        return None

    def _word(self) -> str | None:
        return self._store.get(self._key).decode() if self._store.check([self._key]) else None

    def _watch(self) -> None:
        """Wait for the failure of another process, and end this one if it does not end by itself."""
        while not self._stopped.wait(_EVERY):
            try:
                word = self._word()
            except RuntimeError:
                return
            if word is not None and not self._stopped.wait(_GRACE):
                # The main thread is in a collective, where no exception reaches it.
                os.write(2, f"clipcli: stopped, as {word}\n".encode())
                os._exit(_EXIT_CODE)
