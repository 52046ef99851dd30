"""Engines: what holds a scene, renders it, and takes training steps on it."""
