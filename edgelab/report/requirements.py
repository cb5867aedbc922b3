"""Conditions on a report, for use where a machine decides: `edgetpu=100%`, `latency_ms[rk3588]<20`."""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgelab import targets
from edgelab.errors import InputError
from edgelab.texts import tr

if TYPE_CHECKING:
    from edgelab.report.summary import Report

OPERATORS = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "=": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
}
OF_A_TARGET = ("placement", "latency_ms", "accuracy", "agreement", "snr_db")
OF_THE_MODEL = ("size_bytes", "parameters", "macs", "weight_bytes", "peak_activation_bytes")
PATTERN = re.compile(r"\s*([\w-]+)\s*(?:\[([\w-]+)\])?\s*(<=|>=|==|=|<|>)\s*([-+0-9.eE]+)\s*(%?)\s*")


@dataclass(frozen=True)
class Requirement:
    """One condition.

    Attributes:
        text: as it was written.
        metric: one of `OF_A_TARGET` or `OF_THE_MODEL`.
        of: the target or device; "" for the model.
        relation: a key of `OPERATORS`.
        value: a percentage is a share, 0 to 1.
    """

    text: str
    metric: str
    of: str
    relation: str
    value: float

    def judged(self, report: Report) -> tuple[bool, str]:
        """Whether a report meets it, and a sentence that says so; an unknown value meets nothing."""
        found = report.value(self.metric, self.of)
        if found is None:
            return False, tr("{text}: not known here", text=self.text)
        is_met = OPERATORS[self.relation](found, self.value)
        return is_met, tr(
            "{text}: {found:.6g}, {verdict}",
            text=self.text,
            found=found,
            verdict=tr("met") if is_met else tr("not met"),
        )


def parse(text: str) -> tuple[Requirement, ...]:
    """Conditions from text, separated by commas.

    Raises:
        InputError: one that cannot be understood.
    """
    found = []
    for part in filter(None, map(str.strip, text.split(","))):
        match = PATTERN.fullmatch(part)
        metric, of, relation, number, percent = match.groups() if match else ("", "", "", "", "")
        if metric in targets.names():  # "edgetpu=100%" is about placement
            metric, of = "placement", metric
        is_known = (metric in OF_A_TARGET and of) or (metric in OF_THE_MODEL and not of)
        try:
            value = float(number) / (100 if percent else 1)
        except ValueError:
            is_known = False
        if not is_known:
            raise InputError(
                # Note: {part} is one condition as it was typed, such as "edgetpu=100%".
                tr("The requirement {part!r} cannot be understood.", part=part),
                why=tr(
                    "it is TARGET=100%, METRIC[TARGET]<NUMBER with one of {metrics}, or one of {own} alone",
                    metrics=", ".join(OF_A_TARGET),
                    own=", ".join(OF_THE_MODEL),
                ),
                fix=tr('write for instance "edgetpu=100%,latency_ms[rk3588]<20"'),
            )
        found.append(Requirement(part, metric, of or "", relation, value))
    return tuple(found)
