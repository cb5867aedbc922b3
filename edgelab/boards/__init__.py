"""A model taken to a board, and its numbers brought back: over ssh, or in a zip where no network reaches it.

In a zip: `bundle` packs what a board needs, `runner` is the program in it, which runs there alone, `samples`
tells timings that no clock gave, and `collect` judges what came back and records it.

Over ssh: `registry` keeps boards by name, `host_keys` shows and keeps their keys, `link` is the connection,
`channel` a program at its other end, where `keeper` ends all with the link; `ssh_words` tells what went
wrong. `facts` and `health` tell what a board is and lacks, `kit` and `set_up` set it up, `remote` runs a
bundle there, `session`, with `server`, holds a model open there. `adb` asks phones.

`target` gives a board as a target, which compiles here and runs there (`board_target`); `check` tells a
lesson what a board is and lacks; `recorded_session` what an emulated one gave, where none is.
"""

from edgelab.boards.board_target import BoardTarget, check, target
from edgelab.boards.recorded import recorded_session

__all__ = ["BoardTarget", "check", "recorded_session", "target"]
