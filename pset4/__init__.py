"""Helpers for the four notebooks of PSet 4: networks, images, attack steps, figures and checks."""
