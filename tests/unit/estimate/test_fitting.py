"""Costs of devices: what they are fitted on, and how far they miss what was left out."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from edgelab import estimate, results
from edgelab.errors import InputError
from edgelab.estimate import figures, fitting

ALL = tuple(estimate.DEVICES)


@pytest.mark.parametrize("device", ALL)
def test_fitting_again_gives_the_costs_in_the_file(device):
    again, kept = estimate.fit(device), estimate.costs(device)
    for name, value in vars(kept).items():
        assert getattr(again, name) == pytest.approx(value, rel=1e-4), name


@pytest.mark.parametrize("device", ALL)
def test_figures_left_out_are_met_within_twenty_percent_at_the_median(device):
    found = estimate.leave_one_out(device)
    assert found["error_percent"].abs().median() <= 20
    assert estimate.costs(device).median_error_percent == pytest.approx(
        found["error_percent"].abs().median(), rel=1e-3
    )


@pytest.mark.parametrize("device", ALL)
def test_the_interval_holds_as_many_figures_of_other_families_as_it_claims(device):
    found, kept = estimate.leave_family_out(device), estimate.costs(device)
    ratio = found["estimate_ms"] / found["published_ms"]
    inside = ratio.between(1 / kept.factor / 1.0001, kept.factor * 1.0001)
    assert inside.sum() >= kept.coverage * (len(found) + 1) - 1e-9
    assert 0 < kept.coverage <= estimate.COVERAGE + 0.05


def test_nine_of_ten_figures_lie_inside_intervals_made_without_their_family():
    found = pd.concat([estimate.leave_family_out(device) for device in ALL[:4]])
    assert len(found) == len(results.published("estimate")) - len(cpu_figures())
    assert 0.85 <= found["is_inside"].mean() <= 0.95


def cpu_figures():
    processors = {device.processor for device in estimate.DEVICES.values()}
    return [figure for figure in results.published("estimate") if figure.device in processors]


def test_a_family_takes_no_part_in_the_estimates_of_its_members(monkeypatch):
    honest = estimate.leave_family_out("rk3588").set_index("model")
    kept = figures.published()
    is_own = kept["model"].str.startswith("yolov8")
    doctored = kept.assign(value=kept["value"] * np.where(is_own, 7.0, 1.0))
    monkeypatch.setattr(figures, "published", lambda file="estimate": doctored)
    after = estimate.leave_family_out("rk3588").set_index("model")
    own = [name for name in honest.index if name.startswith("yolov8")]
    assert len(own) == 8
    before, now = (frame.loc[own, "estimate_ms"].to_numpy() for frame in (honest, after))
    assert now == pytest.approx(before, rel=1e-9)


@pytest.mark.parametrize(("device", "network"), [("edgetpu", "vgg16_224"), ("rk3588", "mobilenet_v2_224")])
def test_a_networks_own_figure_takes_no_part_in_its_estimate(monkeypatch, device, network):
    honest = estimate.leave_one_out(device).set_index("model")["estimate_ms"]
    kept = figures.published()
    # Every published time of the network made seven times as long, its CPU's too.
    doctored = kept.assign(value=kept["value"] * np.where(kept["model"] == network, 7.0, 1.0))
    monkeypatch.setattr(figures, "published", lambda file="estimate": doctored)
    after = estimate.leave_one_out(device).set_index("model")["estimate_ms"]
    assert after[network] == pytest.approx(honest[network], rel=1e-9)
    others = [name for name in honest.index if name != network]
    assert (abs(after[others] / honest[others] - 1) > 0.01).any()


@pytest.mark.parametrize("device", ["edgetpu", "rk3588", "rk3566"])
def test_figures_kept_aside_took_no_part_and_are_met_at_the_median(device):
    found, kept = estimate.held_back(device), estimate.costs(device)
    assert not {figure.model for figure in results.published("estimate")} & set(found["model"])
    possible = found[found["cable_gb_per_s"] <= estimate.CABLE_GB_PER_S]
    assert possible["error_percent"].abs().median() <= 15
    inside = (possible["estimate_ms"] / possible["published_ms"]).between(1 / kept.factor, kept.factor)
    assert inside.mean() >= 0.8
    assert estimate.held_back("ethos-u55-128").empty


def test_a_figure_faster_than_its_cable_is_told_from_the_others():
    found = estimate.held_back("edgetpu").set_index("model")["cable_gb_per_s"]
    impossible = found[found > estimate.CABLE_GB_PER_S]
    assert list(impossible.index) == ["inception_resnet_v2_299"]
    fitted = [
        figures.cable_gb_per_s(figure.model, estimate.DEVICES["edgetpu"], figure.value)
        for figure in results.published("estimate")
        if figure.device == estimate.DEVICES["edgetpu"].chip
    ]
    assert 0 < max(fitted) <= estimate.CABLE_GB_PER_S
    assert figures.cable_gb_per_s("vgg16_224", estimate.DEVICES["rk3588"], 1.0) == 0


@pytest.mark.parametrize(
    ("network", "gigamacs", "million_weights"),
    [("ppyoloe_s", 8.68, 7.93), ("ppyoloe_m", 24.95, 23.43), ("yolox_s", 13.4, 9.0), ("yolov5s", 8.25, 7.2)],
)
def test_graphs_built_here_are_as_large_as_their_authors_say(network, gigamacs, million_weights):
    """PaddleDetection, configs/ppyoloe; YOLOX and YOLOv5, README: FLOPs are two per multiply-accumulate."""
    table = figures.layer_table()
    own = table[table["network"] == network]
    assert own["macs"].sum() / 1e9 == pytest.approx(gigamacs, rel=0.03)
    assert own["weights"].sum() / 1e6 == pytest.approx(million_weights, rel=0.03)


def test_every_network_has_a_family():
    for network in figures.layer_table()["network"].unique():
        assert network.startswith(figures.family(network))


def test_an_unknown_device_is_refused():
    for function in (estimate.costs, estimate.fit, estimate.leave_one_out, estimate.leave_family_out):
        with pytest.raises(InputError, match="rk3588"):
            function("abacus")


def test_every_figure_has_a_source_and_a_graph():
    figures = results.published("estimate")
    checked = {figure.model for figure in results.published("estimate_check")}
    networks = set(pd.read_csv(estimate.LAYERS_FILE)["network"])
    assert {figure.model for figure in figures} | checked <= networks
    assert all(figure.source for figure in figures)
    used = {name for device in estimate.DEVICES.values() for name in (device.chip, device.processor)}
    assert {figure.device for figure in figures} == used


def test_costs_are_found_again_in_times_made_from_known_costs():
    rng = np.random.default_rng(1)
    needs, costs, known_ms = rng.uniform(1, 10, (12, 3)), np.array([0.5, 0.0, 2.0]), rng.uniform(0, 3, 12)
    found = fitting._least_squares(needs, known_ms, known_ms + needs @ costs)
    assert found == pytest.approx(costs, abs=1e-6)


def test_a_cost_is_never_negative():
    needs = np.array([[1.0, 3.0], [2.0, 2.0], [3.0, 1.0]])
    found = fitting._least_squares(needs, np.zeros(3), needs @ [2.0, -0.5])
    assert (found >= 0).all()
    assert found[0] > 0


@pytest.mark.parametrize(
    ("errors", "factor", "coverage"),
    [([0.1, -0.2, 0.3], math.exp(0.3), 3 / 4), ([0.01 * n for n in range(1, 30)], math.exp(0.27), 27 / 30)],
)
def test_the_interval_comes_from_the_errors(errors, factor, coverage):
    found = fitting._interval(np.exp(errors), np.ones(len(errors)))
    assert found == pytest.approx((factor, coverage))
