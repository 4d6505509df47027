"""MQTT, for all that is at a broker: the gateway, meters, chargers."""
