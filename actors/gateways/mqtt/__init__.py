"""MQTT: the site is watched and its limits are set over a broker.

    broker ──paho's thread──► Intake ──► MqttGateway (actor) ──Command──► top of the tree
       ▲                                   │      ▲ Outcome, status
       └── publish ── telemetry, answers ◄─┘      └────────────────────── the tree

The gateway is no part of the tree: it may hang, die or be absent, and nothing of the site depends on
it. What it sets are external limits like any other, and a source that must be heard is watched by its
node. Needs the extra `amptree[mqtt]`.
"""
