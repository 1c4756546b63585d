"""Hardware adapters behind the ports."""
