"""The account of rows that are left out because they cannot be read."""

from collections.abc import Sequence

SHOWN = 3  # places that are named of each reason


class Skipped:
    """Numbers of skipped rows and the first places, for each reason."""

    def __init__(self) -> None:
        """Starts with none."""
        self._counts: dict[str, int] = {}
        self._places: dict[str, list[str]] = {}

    def clear(self) -> None:
        """Forgets all, for a pass that begins anew."""
        self._counts.clear()
        self._places.clear()

    def add(self, reason: str, line: int) -> None:
        """Counts one line."""
        self.add_all(reason, 1, [f"line {line}"])

    def add_all(self, reason: str, count: int, first: Sequence[str]) -> None:
        """Counts rows of which the first stand at the places."""
        self._counts[reason] = self._counts.get(reason, 0) + count
        places = self._places.setdefault(reason, [])
        places.extend(first[: max(0, SHOWN - len(places))])

    @property
    def total(self) -> int:
        """Number of rows."""
        return sum(self._counts.values())

    def sentence(self, label: str) -> str:
        """The note for the log."""
        listed = []
        for reason, count in self._counts.items():
            more = ", ..." if count > len(self._places[reason]) else ""
            listed.append(f"{count:,} where {reason} ({', '.join(self._places[reason])}{more})")
        return f"Skipped {self.total:,} bad rows of {label}: {'; '.join(listed)}."
