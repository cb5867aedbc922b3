from prometheus_client.parser import text_string_to_metric_families

from edgelab.app.metrics import Metrics

STATE = {
    "source": {"status": "running", "fps": 29.9, "frames": 100, "dropped": 3, "opened": 2},
    "viewers": 4,
    "alarms": 7,
    "history": {"is_writing": False, "in_memory": 5, "lost": 1},
    "memory_bytes": 12_000_000,
    "receivers": {"mqtt": {"waiting": 2, "delivered": 9}},
}


def test_prometheus_reads_every_number():
    asked = []
    metrics = Metrics(lambda: asked.append(1) or STATE)
    assert not asked, "not while it is made"
    for latency_ms in (5.0, 30.0, 300.0):
        metrics.count_frame(latency_ms, 3.0)
    families = {one.name: one for one in text_string_to_metric_families(metrics.text().decode())}
    values = {name: one.samples[0].value for name, one in families.items() if one.samples}
    assert values["edgelab_up"] == 1 and values["edgelab_frames"] == 100
    assert values["edgelab_history_writing"] == 0 and values["edgelab_viewers"] == 4
    [waiting] = families["edgelab_alarms_waiting"].samples
    assert waiting.labels == {"receiver": "mqtt"} and waiting.value == 2
    buckets = {s.labels.get("le"): s.value for s in families["edgelab_latency_seconds"].samples}
    assert buckets["0.005"] == 1 and buckets["0.05"] == 2 and buckets["0.5"] == 3


def test_two_applications_do_not_meet():
    one, other = Metrics(lambda: STATE), Metrics(lambda: STATE)
    one.count_frame(1.0, 1.0)
    assert b"edgelab_latency_seconds_count 0.0" in other.text()
