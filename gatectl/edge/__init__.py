"""The daemon on each gate."""
