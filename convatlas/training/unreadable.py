"""The pictures that a run could not read: said once each, kept for its summary and its page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from convatlas.training.logs import Logs

SAID = 5  # of them in full; a set of which half is broken should not bury the run's own lines


class Unreadable:
    """Collects what loaders left out, over epochs and over both splits."""

    def __init__(self) -> None:
        self._found: dict[str, str] = {}

    def take(self, skipped: Iterable[tuple[str, str]], logs: Logs) -> None:
        """Note (path, reason) pairs and say those that are new: a few in full, the rest as a number."""
        new = [(path, reason) for path, reason in skipped if path not in self._found]
        if not new:
            return
        room = max(SAID - len(self._found), 0)
        self._found.update(new)
        for path, reason in new[:room]:
            logs.say(f"left out: {path}: {reason}")
        if len(new) > room:
            logs.say(
                f"left out: {len(new) - room} more that cannot be read; `skipped` of summary.json lists all"
            )

    def restore(self, listed: Iterable[Mapping[str, str]]) -> None:
        """Take up what was found, and said, before a resume."""
        self._found.update((one["path"], one["reason"]) for one in listed)

    def listed(self) -> list[dict[str, str]]:
        """path and reason of each, sorted by path."""
        return [{"path": path, "reason": reason} for path, reason in sorted(self._found.items())]
