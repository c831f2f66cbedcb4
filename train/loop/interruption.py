"""Stopping at the end of an iteration when a signal asks for it."""

import os
import signal


class Interruption:

    """Context in which SIGINT and SIGTERM are remembered, not obeyed.

    The first signal sets :attr:`signal`, for the training loop to see once an
    iteration is over. From then on the signals act as they did before, so a
    second Ctrl-C stops at once.

    Attributes:
        signal (int or None): Number of the signal that came, if one did.

    """

    def __init__(self):
        self.signal = None
        self._handlers = {}

    def __enter__(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            # A run in a shell's background ignores Ctrl-C, and goes on to.
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._handlers[number] = signal.signal(number, self._remember)
        return self

    def __exit__(self, *exception):
        self._restore()

    def _remember(self, number, frame):
        self.signal = number
        self._restore()
        # The interrupted code may be printing: write past Python's buffers.
        os.write(2, b'\nstopping after this iteration; '
                    b'once more to stop at once\n')

    def _restore(self):
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
