"""Signals in asyncio, by way of poll descriptors."""

import asyncio
import os
import time
from typing import Optional, Union

from ._native import Export, Import
from .errors import Timeout


async def wait(handle: Union[Export, Import], timeout: Optional[float] = None) -> None:
    """Takes one signal, while other tasks go on. One that is cancelled takes nothing."""
    deadline = None if timeout is None else time.monotonic() + timeout
    loop = asyncio.get_running_loop()
    # One of its own: a loop knows each descriptor once, and several tasks may wait on one handle.
    descriptor = os.dup(handle.fileno())
    readable = asyncio.Event()

    def wake() -> None:
        # Until it is looked at: it stays readable until somebody takes the signal.
        loop.remove_reader(descriptor)
        readable.set()

    try:
        while True:
            try:
                return handle.wait(0)
            except Timeout:
                pass
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise Timeout(f"no signal (waited {timeout} s)")
            readable.clear()
            loop.add_reader(descriptor, wake)
            try:
                await asyncio.wait_for(readable.wait(), left)
            except asyncio.TimeoutError:
                pass
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
