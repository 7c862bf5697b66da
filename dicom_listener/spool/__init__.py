"""Received instances on disk: durable before they are acknowledged, read again by their heads."""
