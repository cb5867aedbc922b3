"""Inputs made at random: few in every test run, as many as wanted with `make fuzz EXAMPLES=5000`."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

EXAMPLES = int(os.environ.get("EDGELAB_FUZZ_EXAMPLES") or 25)

settings.register_profile(
    "edgelab",
    max_examples=EXAMPLES,
    deadline=None,  # a busy machine is no failure
    derandomize="EDGELAB_FUZZ_EXAMPLES"
    not in os.environ,  # no seed of the day: the same code gets the same inputs
    database=None,
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("edgelab")
