"""A thread that runs Python code for ever can be ended, though Python has no such method."""

from __future__ import annotations

import ctypes
import threading


def end(thread: threading.Thread) -> None:
    """Raise `SystemExit` in a thread, at the next line of Python that it comes to.

    One that waits or sleeps comes to none, and goes on waiting. One that has ended, or was never started, is
    no error.

    Args:
        thread: any but the caller's own.
    """
    if thread.ident is not None and thread.is_alive():
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit))
