"""Chargers that run EVerest, over its MQTT API."""
