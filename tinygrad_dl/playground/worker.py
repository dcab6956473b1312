"""The process behind a tab: messages come as lines on stdin, answers and frames leave as blocks on stdout.

A block is its kind, b"J" for JSON or b"F" for a frame, its length as uint32 (little-endian), and its bytes. The process
ends when stdin does, so no worker outlives the server, however that ends.
"""

from __future__ import annotations

import os
import queue
import signal
import struct
import sys
import threading
import warnings
from typing import BinaryIO

from tinygrad_dl.playground.tab import Tab

HEADER = struct.Struct("<cI")


def _read(source: BinaryIO, messages: queue.SimpleQueue[str | None]) -> None:
    for line in source:
        messages.put(line.decode("utf-8", "replace"))
    messages.put(None)


def run(source: BinaryIO, target: BinaryIO) -> None:
    """Serve one tab until the source ends."""
    messages: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(source, messages), daemon=True).start()
    tab = Tab()

    def send(kind: bytes, block: bytes) -> None:
        target.write(HEADER.pack(kind, len(block)))
        target.write(block)
        target.flush()

    while True:
        while tab.waiting or not messages.empty():
            message = messages.get()
            if message is None:
                return
            for answer in tab.receive(message):
                send(b"J", answer.encode())
        block = tab.work()
        if block is not None:
            send(b"F", block)


def main() -> None:
    """Keep stdout for the blocks: whatever prints does so on stderr. Ctrl-C is the server's to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warnings.simplefilter("ignore")  # such as that a step is not compiled: the page can do nothing about it
    target = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    try:
        run(sys.stdin.buffer, target)
    except BrokenPipeError:
        pass
    os._exit(0)  # without waiting for the thread that reads


if __name__ == "__main__":
    main()
