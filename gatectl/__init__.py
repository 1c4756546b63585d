"""gatectl: residential gate control that decides at the gate."""

__version__ = "0.1.0"
