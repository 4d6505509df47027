"""The outside world: control sockets now; MQTT, OCPP and others each in a file of its own."""
