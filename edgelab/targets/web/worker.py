"""A browser without a window, that ends with us: `python -m edgelab.targets.web.worker`.

Between Python and the browser stands this process: when Python ends, even killed, its end of the pipe closes,
and the browser goes with everything it started and wrote.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile

from edgelab.machine import child


def _child() -> None:
    # Jupyter interrupts and kills a kernel with its whole group. We leave that: an interrupted cell stops
    # waiting and the browser goes on; and where the kernel is killed, somebody is left who ends the browser.
    if hasattr(os, "setsid"):
        os.setsid()
    else:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    browser = None
    with tempfile.TemporaryDirectory(prefix="edgelab-browser-", ignore_cleanup_errors=True) as folder:
        try:
            for line in sys.stdin:
                request = json.loads(line)
                if request["do"] == "start":
                    command = [*request["command"], f"--user-data-dir={folder}", request["address"]]
                    own = {**os.environ, "HOME": folder}
                    browser = subprocess.Popen(
                        command,
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.DEVNULL,
                        stderr=sys.stderr,
                        cwd=folder,
                        env=own,
                        start_new_session=os.name != "nt",
                    )
                    answer = {"pid": browser.pid}
                else:
                    answer = {"code": browser.poll() if browser else None}
                sys.stdout.write(child.ANSWER_MARK + json.dumps(answer) + "\n")
                sys.stdout.flush()
        finally:
            if browser:
                child.kill_tree(browser)
                if hasattr(os, "killpg"):  # its crash reporters have left the tree
                    with contextlib.suppress(OSError):
                        os.killpg(browser.pid, signal.SIGKILL)


if __name__ == "__main__":
    _child()
