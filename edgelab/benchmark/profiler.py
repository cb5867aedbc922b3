"""How long each operator of a `.tflite` model takes on the CPU, from LiteRT's own profiler.

With XNNPACK the names are those of the kernels that ran ("Fully Connected (NC, QS8, QC8W) GEMM" is a 1x1
convolution with 8-bit inputs and per-channel 8-bit weights, done as a matrix product); with the builtin
kernels they are the operators of the file.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from edgelab import graph
from edgelab.benchmark.profiler_worker import KERNELS
from edgelab.errors import InputError, TargetError
from edgelab.targets.cpu.session import runtime_version
from edgelab.texts import tr, tr_alternatives

TIMEOUT_S = 120


@dataclass(frozen=True, repr=False)
class OperatorProfile:
    """The time of every operator in every profiled run.

    Attributes:
        kernels: "xnnpack" or "builtin".
        threads: used by the kernels.
        names: of the operators, or of XNNPACK's kernels, in the order they ran.
        times_us: float64 [runs, operators]. The profiler counts whole microseconds and drops the rest, so an
            operator of less than 1 µs shows as 0.
        run_us: float64 [runs], the whole inference, gaps between the operators included.
        runtime_version: of LiteRT.
    """

    kernels: str
    threads: int
    names: tuple[str, ...]
    times_us: np.ndarray
    run_us: np.ndarray
    runtime_version: str

    def frame(self) -> pd.DataFrame:
        """One row per operator: kind, number format, median µs, and its share of all operators' time."""
        median_us = np.median(self.times_us, axis=0)
        kinds, formats = zip(*(split_name(name) for name in self.names), strict=True)
        return pd.DataFrame(
            {"kind": kinds, "format": formats, "median_us": median_us, "share": _shares(median_us)}
        )

    def by_kind(self) -> pd.DataFrame:
        """One row per kind, the costliest first: operators, formats, median of their summed µs, share."""
        rows = self.frame()
        groups = rows.groupby("kind", sort=False).groups
        table = pd.DataFrame(
            {
                "kind": list(groups),
                "operators": [len(members) for members in groups.values()],
                "format": [
                    ", ".join(sorted(set(rows.loc[members, "format"]) - {""})) for members in groups.values()
                ],
                "total_us": [
                    float(np.median(self.times_us[:, members].sum(axis=1))) for members in groups.values()
                ],
            }
        )
        table["share"] = _shares(table["total_us"].to_numpy())
        return table.sort_values("total_us", ascending=False, ignore_index=True)

    def __str__(self) -> str:
        table = self.by_kind().to_string(index=False, formatters={"share": "{:.0%}".format})
        return (
            f"{table}\n{len(self.names)} operators, median run {np.median(self.run_us):.0f} µs, "
            f"{self.kernels}, {self.threads} thread(s), {self.runtime_version}"
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        table = self.by_kind().to_html(index=False, border=0, formatters={"share": "{:.0%}".format})
        return f"{table}<p>{str(self).splitlines()[-1]}</p>"


def _shares(times: np.ndarray) -> np.ndarray:
    return times / times.sum() if times.sum() > 0 else times


def split_name(name: str) -> tuple[str, str]:
    """Kind and number format of a kernel: "Add (ND, F32)" is ("Add", "F32"); "CONV_2D" is ("CONV_2D", "")."""
    match = re.fullmatch(r"(.*?) \((?:\w+)(?:, (.*))?\)(.*)", name)
    return (match[1] + match[3], match[2] or "") if match else (name, "")


def kinds_table(profiles: Mapping[str, OperatorProfile]) -> pd.DataFrame:
    """Time per kind of operator for several profiles side by side, in µs, and a last row with the sum.

    Args:
        profiles: by name, such as {"float32": …, "int8": …}.

    Returns:
        Index: kind, costliest first. One column per name; 0 where a model has no such operator.
    """
    columns = {name: profile.by_kind().set_index("kind")["total_us"] for name, profile in profiles.items()}
    table = pd.DataFrame(columns).fillna(0.0)
    table = table.loc[table.sum(axis=1).sort_values(ascending=False).index]
    table.loc["all operators"] = table.sum()
    return table


def operator_profile(
    path: Path | str, *, kernels: str = "xnnpack", threads: int = 1, runs: int = 200
) -> OperatorProfile:
    """Profile a model in a child process.

    Args:
        path: a `.tflite` file.
        kernels: "xnnpack" or "builtin".
        threads: for the kernels; with more than one, an operator's time is that of its slowest thread.
        runs: profiled runs, after a tenth as many that do not count.

    Returns:
        Times per operator and run.

    Raises:
        InputError: unknown kernels, no threads or no runs.
        ModelError: not a readable model.
        TargetError: this LiteRT offers no profiler that we can read, or dies of the model.
    """
    if kernels not in KERNELS or threads < 1 or runs < 1:
        raise InputError(
            tr(
                "Cannot profile with kernels={kernels!r}, threads={threads}, runs={runs}.",
                kernels=kernels,
                threads=threads,
                runs=runs,
            ),
            why=tr("kernels are {names}; threads and runs start at 1", names=tr_alternatives(KERNELS)),
            fix=tr("leave them out for XNNPACK, one thread, 200 runs"),
        )
    graph.read(Path(path))
    command = [
        sys.executable,
        "-m",
        "edgelab.benchmark.profiler_worker",
        str(path),
        kernels,
        str(threads),
        str(runs),
    ]
    try:
        child = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, errors="replace")
    except subprocess.TimeoutExpired as error:
        raise _unavailable(tr("it took longer than {seconds} s", seconds=TIMEOUT_S)) from error
    if child.returncode != 0:
        last = child.stderr.strip().splitlines()[-1:] or [tr("exit status {code}", code=child.returncode)]
        raise _unavailable(last[0])
    record = json.loads(child.stdout)
    return OperatorProfile(
        kernels=kernels,
        threads=threads,
        names=tuple(record["names"]),
        times_us=np.array(record["times_us"], np.float64),
        run_us=np.array(record["run_us"], np.float64),
        runtime_version=runtime_version(),
    )


def _unavailable(why: str) -> TargetError:
    return TargetError(
        tr("The operators could not be profiled."),
        why=why,
        fix=tr("everything else works without it; the versions in the lock file have a profiler on Linux"),
    )
