"""Demo data: the last months of a fictional company, played through the services in chronological order."""

from valhalla.demo.story import AlreadyThere, Counts, NotEmpty, fill

__all__ = ["AlreadyThere", "Counts", "NotEmpty", "fill"]
