"""Which evaluators see which run, and with what probability."""
