"""The server: people, rules, events, console."""
