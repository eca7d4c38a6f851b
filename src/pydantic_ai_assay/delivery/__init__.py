"""Where results go: OpenTelemetry events and metrics, sinks, callbacks, and warnings where nobody listens."""
