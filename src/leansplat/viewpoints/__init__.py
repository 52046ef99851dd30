"""Cameras for a scene that came without any, as a person would have held them."""
