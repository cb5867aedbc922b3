"""A vendor's runtime on a board, as `server` asks it: Rockchip's NPU, by rknn-toolkit-lite2.

The kit puts it beside `server.py`. The vendor's Python package is the board's: the kit cannot bring it.
"""

# It goes to boards, where there is no edgelab: Python 3.9, and what is tried below.

from __future__ import annotations

import sysconfig

try:
    import runner  # in the same folder, on a board
except ImportError:
    from edgelab.boards import runner


class RknnModel:
    """A `.rknn` file on the NPU.

    Args:
        path: the file.

    Raises:
        BoardError: the package or its library is missing, or the NPU refuses the model.
    """

    def __init__(self, path: str) -> None:
        packages = sysconfig.get_paths()["purelib"]
        fix = f'on the board: python3 -m pip install --target "{packages}" rknn-toolkit-lite2'
        try:
            from rknnlite.api import RKNNLite
        except Exception as error:  # its parts in C raise what they like
            raise runner.BoardError(f"rknn-toolkit-lite2 does not load: {error}.", fix) from error
        self.rknn = RKNNLite()
        fix = "put librknnrt.so of the compiler's version into /usr/lib; compile for the chip of this board"
        for step, given in (("load_rknn", [path]), ("init_runtime", [])):
            code = getattr(self.rknn, step)(*given)
            if code != 0:
                raise runner.BoardError(f"Rockchip's {step} gives error code {code}.", fix)

    def run(self, arrays: list) -> list:
        """One inference; pictures `[1, H, W, C]` are turned round for the runtime, as the course compiles."""
        turned = [array.transpose(0, 3, 1, 2).copy() if array.ndim == 4 else array for array in arrays]
        outputs = self.rknn.inference(inputs=turned, data_format=["nchw"] * len(turned))
        if outputs is None:
            raise RuntimeError("the NPU gave nothing")
        return outputs
