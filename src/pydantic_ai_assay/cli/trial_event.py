"""An event that is sent to see whether events arrive."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider, ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExportResult, SimpleLogRecordProcessor

from ..errors import MissingExtraError

__all__ = ('Destination', 'destinations', 'send')

EVENT_NAME = 'assay.check'
SECONDS = 5.0
"""Seconds for which an answer is waited for."""
_ENDPOINTS = {'OTEL_EXPORTER_OTLP_LOGS_ENDPOINT': '', 'OTEL_EXPORTER_OTLP_ENDPOINT': '/v1/logs'}
_LOGGER = 'opentelemetry.exporter.otlp.proto.http'


@dataclass(kw_only=True, frozen=True)
class Destination:
    """Where events go."""

    endpoint: str
    headers: dict[str, str] = field(default_factory=dict[str, str], repr=False)


def destinations() -> list[Destination]:
    """Where the environment says that events go, by its variables for Logfire and for OpenTelemetry over HTTP.

    Raises:
        MissingExtraError: If `LOGFIRE_TOKEN` is set, and Logfire is not installed.
    """
    found = [_logfire(token) for token in os.environ.get('LOGFIRE_TOKEN', '').split(',') if token.strip()]
    for name, path in _ENDPOINTS.items():
        if base := os.environ.get(name):
            # The exporter reads the headers by itself.
            return [*found, Destination(endpoint=base.rstrip('/') + path if path else base)]
    return found


def _logfire(token: str) -> Destination:
    try:
        from logfire import AdvancedOptions
    except ImportError as error:
        raise MissingExtraError('To send an event to Logfire', 'logfire') from error
    token = token.strip()
    base = os.environ.get('LOGFIRE_BASE_URL') or AdvancedOptions().generate_base_url(token, warn_unknown_region=False)
    return Destination(endpoint=f'{base.rstrip("/")}/v1/logs', headers={'Authorization': token})


def send(destination: Destination) -> str | None:
    """Send an event, and say why it was not taken, if it was not.

    Raises:
        MissingExtraError: If there is nothing to send it with.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    except ImportError as error:
        raise MissingExtraError('To send an event', 'logfire') from error

    taken: list[LogRecordExportResult] = []

    class Watched(OTLPLogExporter):
        """Remembers what became of what was exported."""

        def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
            taken.append(super().export(batch))
            return taken[-1]

    exporter = Watched(destination.endpoint, headers=destination.headers or None, timeout=SECONDS)
    said = _Said()
    logger = logging.getLogger(_LOGGER)
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(said)
    provider = LoggerProvider()
    try:
        provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
        record = LogRecord(event_name=EVENT_NAME, body='assay check', severity_number=SeverityNumber.INFO)
        provider.get_logger('pydantic-ai-assay').emit(record)
    finally:
        provider.shutdown()
        logger.removeHandler(said)
        logger.propagate = propagate
    if taken == [LogRecordExportResult.SUCCESS]:
        return None
    return said.messages[-1] if said.messages else 'the event was not taken.'


class _Said(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())
