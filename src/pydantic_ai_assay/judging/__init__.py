"""The agent as judge."""
