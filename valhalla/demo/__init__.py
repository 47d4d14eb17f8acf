"""Demo data: a made-up company's last months, played through the services in the order of time."""

from valhalla.demo.story import AlreadyThere, NotEmpty, Told, fill

__all__ = ["AlreadyThere", "NotEmpty", "Told", "fill"]
