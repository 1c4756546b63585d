"""Simulated hardware and traffic, shipped in the product."""
