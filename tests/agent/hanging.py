"""A classifier that hangs, for agents that are stuck."""

from __future__ import annotations

import threading
from typing import Any

from ringwatch.models.prediction import Prediction


class Hangs:
    """A classifier that hangs until it is released, once it is warm."""

    identity = "hangs"

    def __init__(self) -> None:
        self.asked, self.released = threading.Event(), threading.Event()
        self.warm = False

    def predict(self, *_: Any) -> Prediction:
        if self.warm:
            self.asked.set()
            self.released.wait(60)
        raise ZeroDivisionError("it knows nothing")
