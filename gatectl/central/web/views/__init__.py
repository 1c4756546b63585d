"""Views: plain functions from a visit to a response, run in a thread pool."""
