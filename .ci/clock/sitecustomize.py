"""Moves the clock of every Python program that a test run starts; see .ci/instants."""

import os

if offset := os.environ.get("VALHALLA_TEST_OFFSET"):
    import time

    import time_machine

    time_machine.travel(time.time() + float(offset), tick=True).start()
