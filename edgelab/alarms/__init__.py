"""Alarms that arrive: kept on disk until their receiver has them, sent in order, tried again with back-off.

from edgelab import alarms

outbox = alarms.Outbox("artifacts/alarms.sqlite")
with alarms.Courier(outbox, alarms.MqttTopic("127.0.0.1", 1883, "door/alarms")):
    outbox.put(alarms.Alarm(time.time(), "enter", "door", "person", 7, "person entered door"))
"""

from edgelab.alarms.alarm import Alarm
from edgelab.alarms.backoff import Backoff
from edgelab.alarms.courier import Courier, CourierState
from edgelab.alarms.outbox import Outbox, Waiting
from edgelab.alarms.senders import (
    DeliveryError,
    LogFile,
    MqttTopic,
    RefusedError,
    Sender,
    Webhook,
)

__all__ = [
    "Alarm",
    "Backoff",
    "Courier",
    "CourierState",
    "DeliveryError",
    "LogFile",
    "MqttTopic",
    "Outbox",
    "RefusedError",
    "Sender",
    "Waiting",
    "Webhook",
]
