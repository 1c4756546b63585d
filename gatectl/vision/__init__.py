"""Pixels in, plates out."""
