import logging
from typing import Any

class Logger:
    error_log: logging.Logger
    access_log: logging.Logger
    error_fmt: str
    datefmt: str
    def setup(self, cfg: Any) -> None: ...
