"""Runs inside the workflows of durable execution engines, which are replayed after a crash."""
