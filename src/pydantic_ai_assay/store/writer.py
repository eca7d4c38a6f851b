"""The thread that writes to a store, behind whatever hands it runs."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from math import inf
from uuid import uuid4

from ..delivery.notices import Notices
from ..errors import AssayError, describe
from ..runs.outcome import EvaluationStatus
from .batch import Batch, BatchWriter, Counted, Written
from .counting import Counting
from .database import Database, is_refusal
from .entry import Entry
from .errors import StoreUnavailableError
from .migration import migrate_database, require_schema
from .retention import Retention
from .spool import Spool
from .stats import StoreStats

__all__ = ('Writer',)

MAX_ENTRIES = 2_000
MAX_BYTES = 8_000_000
"""Runs, and bytes of them, that are written in one transaction."""
LINGER_SECONDS = 0.05
"""Seconds for which the writer lets runs gather before it writes."""
COUNT_SECONDS = 1.0
"""Seconds between two looks for counts, which wake nobody while they keep coming: it would take time on the caller's path."""
COUNTS_END_SECONDS = 60.0
"""Seconds without any after which the writer no longer looks, and the next one wakes it."""
MAX_RETRY_SECONDS = 30.0
MAINTENANCE_SECONDS = 60.0
TURN_SECONDS = 0.25
"""Seconds for which old runs are deleted at a time while there is something to write."""

_Part = tuple[Sequence[Entry], Mapping[Counted, int], int]
"""Runs and counts that are written together, and the last count that is among them."""
Encode = Callable[[], Entry]
"""Makes what was handed over ready to be written; called in the writer's thread."""


class Writer:
    """Takes runs from any thread and writes them in one of its own, which starts with the first."""

    def __init__(
        self,
        database: Database,
        retention: Retention,
        notices: Notices,
        *,
        max_entries: int,
        max_bytes: int,
        retry_seconds: float,
    ) -> None:
        self._database = database
        self._retention = retention
        self._notices = notices
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._retry_seconds = retry_seconds
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._settled = threading.Condition(self._lock)
        self._awake = threading.Event()
        self._urgent = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._writing = threading.Lock()
        self._inbox: deque[tuple[int, Encode]] = deque()
        self._counts = Counting()
        self._counted_at = float('-inf')
        self._looks_for_counts = False
        self._spool = Spool(max_bytes=self._max_bytes)
        self._batch: Batch | None = None
        self._parts: deque[_Part] = deque()
        self._batches = 0
        self._batch_writer = BatchWriter(str(uuid4()))
        self._attempted: Written | None = None
        self._is_doubted = False
        self._ready_for: int | None = None
        self._known_file = 0
        self._failures = 0
        self._retry_at = 0.0
        self._maintained_at = float('-inf')
        self._submitted = self._ticket = self._written_ticket = 0
        self._count_ticket = self._written_count_ticket = 0
        self._waiting = 0
        self._written_runs = self._written_outcomes = self._given_up = self._refused = 0
        self._last_error: str | None = None

    def begin_in_child(self) -> None:
        """Begin anew in a forked child: what waits, and the connections, are the parent's."""
        self._notices.__init__()
        self._database.begin_in_child()
        self._begin()

    # From any thread

    def submit(self, encode: Encode) -> None:
        """Hand something over. Returns at once."""
        with self._lock:
            self._submitted += 1
            is_taken = self._waiting < self._max_entries
            if is_taken:
                self._waiting += 1
                self._ticket += 1
                self._inbox.append((self._ticket, encode))
            else:
                self._given_up += 1
        if not is_taken:
            self._warn_of_given_up()
        self._wake()

    def count(self, status: EvaluationStatus, evaluator: str, fingerprint: str, target: str, number: int) -> None:
        """Count evaluations of which nothing else is known."""
        with self._lock:
            self._counts.add(status, evaluator, fingerprint, target, number)
            self._count_ticket += 1
        if self._thread is None or not self._looks_for_counts:
            self._wake()

    def flush(self, timeout: float) -> bool:
        """Wait until all that was handed over before is written or given up. Returns whether it was in time."""
        deadline = time.monotonic() + timeout
        with self._lock:
            ticket, count_ticket = self._ticket, self._count_ticket
            if self.is_idle:
                return True
            self._retry_at = 0.0
        self._urgent.set()
        if not self._wake():
            # No thread starts at the end of the process: what is left is written in this one.
            self._work(deadline)
        with self._settled:
            return self._settled.wait_for(
                lambda: self.is_idle or (self._written_ticket >= ticket and self._written_count_ticket >= count_ticket),
                deadline - time.monotonic(),
            )

    @property
    def is_idle(self) -> bool:
        """Whether all that was handed over is written or given up."""
        return not self._waiting and self._written_count_ticket == self._count_ticket

    @property
    def is_failing(self) -> bool:
        """Whether the last attempt to write did not succeed."""
        return self._last_error is not None

    def tell_what_is_left(self) -> None:
        """Warn of what is not written, and why. It is lost if the process ends."""
        if self.is_idle:
            return
        with self._lock:
            counts = self._counts.total + sum(self._batch.counts.values() if self._batch is not None else ())
        self._notices.warn(
            'left',
            f'Not stored in {self._database.shown} when the process ended: runs: {self._waiting}, evaluations that were '
            f'only counted: {counts}. {self._last_error or "There was not enough time."}',
        )

    def close(self, timeout: float) -> bool:
        """Write what waits, and end the thread. Returns whether all was written in time."""
        deadline = time.monotonic() + timeout
        flushed = self.flush(timeout)
        with self._lock:
            thread, self._thread = self._thread, None
            stop, self._stop = self._stop, threading.Event()
        stop.set()
        self._awake.set()
        self._urgent.set()
        if thread is not None:
            thread.join(max(0.0, deadline - time.monotonic()))
        return flushed

    def disconnect(self) -> None:
        """Close the connections that are not in use; the next use makes new ones."""
        self._database.close()

    def stats(self) -> StoreStats:
        """What has become of what was handed over."""
        with self._lock:
            return StoreStats(
                submitted=self._submitted,
                written_runs=self._written_runs,
                written_outcomes=self._written_outcomes,
                waiting=self._waiting,
                waiting_bytes=self._spool.bytes,
                given_up=self._given_up,
                refused=self._refused,
                last_error=self._last_error,
            )

    def _wake(self) -> bool:
        """See to it that the thread runs and has something to do. Returns whether there is one."""
        if self._thread is None:
            with self._lock:
                if self._thread is None and not self._start():
                    return False
        if not self._awake.is_set():
            self._awake.set()
        return True

    def _start(self) -> bool:
        name = f'assay-store {self._database.shown}'
        thread = threading.Thread(target=self._run, args=(self._stop,), name=name, daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # The interpreter is shutting down.
            return False
        self._thread = thread
        return True

    # In the writer's thread

    def _run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self._awake.wait(self._pause())
            self._urgent.wait(LINGER_SECONDS)
            self._awake.clear()
            self._urgent.clear()
            with self._writing:
                try:
                    self._step()
                except Exception as error:
                    # A fault of ours must not end the thread, for nothing would be written any more.
                    self._wait_for_database(error)

    def _pause(self) -> float | None:
        """Seconds until there is something to do without being told."""
        now = time.monotonic()
        is_waiting = bool(self._waiting) or self._batch is not None
        self._looks_for_counts = False
        # A count that comes from here on wakes this thread, and one that came before is there.
        is_counting = bool(self._counts) or now - self._counted_at < COUNTS_END_SECONDS
        self._looks_for_counts = is_waiting or is_counting
        if is_waiting:
            return max(0.0, self._retry_at - now)
        if is_counting:
            return COUNT_SECONDS
        return MAINTENANCE_SECONDS if self._retention.is_set else None

    def _work(self, deadline: float) -> None:
        """Do in the calling thread what the writer's would."""
        with self._writing:
            while not self.is_idle and (left := deadline - time.monotonic()) > 0:
                self._stop.wait(min(left, max(0.0, self._retry_at - time.monotonic())))
                self._step()

    def _step(self) -> bool:
        """Write what is there. Returns whether that succeeded."""
        succeeded = True
        while succeeded and time.monotonic() >= self._retry_at:
            # No more than is written next: little is held ready, and nothing is given up while the database takes it.
            self._encode(MAX_ENTRIES - len(self._spool), size=min(MAX_BYTES, self._max_bytes // 2))
            if not self._next_batch():
                break
            succeeded = self._write()
        self._encode(len(self._inbox))
        is_due = time.monotonic() - self._maintained_at > MAINTENANCE_SECONDS
        if succeeded and self._retention.is_set and self._ready_for is not None and is_due:
            self._maintain()
        return succeeded

    def _encode(self, number: int, size: float = inf) -> None:
        """Make some of what was handed over small, so that runs are let go of."""
        for _ in range(min(number, len(self._inbox))):
            if self._spool.ready_bytes >= size:
                break
            ticket, encode = self._inbox.popleft()
            try:
                entry = encode()
            except BaseException as error:
                # It looks at what agents returned, which may raise anything, also what would end this thread.
                with self._settled:
                    self._refused += 1
                    self._settle(1)
                self._tell_of_refused(describe(error))
                continue
            entry.ticket = ticket
            if not self._spool.add(entry):
                with self._settled:
                    self._given_up += 1
                    self._settle(1)
                self._warn_of_given_up()

    def _next_batch(self) -> bool:
        """Choose what is written next: a batch that failed is tried again as it was. Returns whether there is anything."""
        if self._batch is None:
            entries, counts, count_ticket = self._parts.popleft() if self._parts else self._take()
            if entries or counts:
                # Numbered when it is first written, for those after it must have greater numbers.
                self._batches += 1
                self._attempted, self._is_doubted = None, False
                self._batch = Batch(number=self._batches, entries=entries, counts=counts, count_ticket=count_ticket)
        return self._batch is not None

    def _take(self) -> _Part:
        with self._lock:
            counts = self._counts.take()
            count_ticket = self._count_ticket
        if counts:
            self._counted_at = time.monotonic()
        return self._spool.take(entries=MAX_ENTRIES, size=MAX_BYTES), counts, count_ticket

    def _write(self) -> bool:
        """Write the batch. Returns whether the next may follow."""
        batch = self._batch
        assert batch is not None
        if not self._is_prepared():
            return False
        try:
            self._write_batch(batch)
        except Exception as error:
            if is_refusal(error):
                self._divide(batch, error)
                return True
            self._ready_for = None
            # Where the tables are not as they must be, this says what to do.
            if isinstance(error, StoreUnavailableError) or self._is_prepared():
                self._wait_for_database(error)
            return False
        return True

    def _is_prepared(self) -> bool:
        try:
            self.prepare()
        except Exception as error:
            self._wait_for_database(error)
            return False
        return True

    def prepare(self) -> None:
        """See to it that the tables are there.

        Raises:
            StoreError: If they are not, or the database is away.
        """
        file = self._database.look_for_file()
        if self._ready_for == file:
            return
        if self._database.is_sqlite:
            migrate_database(self._database)
        else:
            with self._database.reading() as connection:
                require_schema(self._database, connection)
        self._ready_for = file

    def _write_batch(self, batch: Batch) -> None:
        self._follow_file()
        try:
            with self._database.writing() as connection:
                written = self._batch_writer.write(connection, batch, time.time_ns() // 1000)
                if written == Written() and self._attempted is not None:
                    # It had been committed, though nobody could say so.
                    written = self._attempted
                self._attempted = written
        except BaseException:
            self._batch_writer.forget()
            raise
        self._batch = None
        unknown = set(written.unknown)
        with self._settled:
            self._refused += sum(entry.run_id in unknown for entry in batch.entries)
            self._written_runs += written.runs
            self._written_outcomes += written.outcomes
            self._failures = 0
            self._last_error = None
            self._settle_batch(batch)
        if unknown:
            self._tell_of_refused(f'{", ".join(written.unknown[:10])}: no such runs in the store')

    def _follow_file(self) -> None:
        file = self._database.look_for_file()
        if file != self._known_file:
            self._known_file = file
            # Its numbers are those of what was there before.
            self._batch_writer.forget()
            self._notices.warn(
                'replaced', f'The file of {self._database.shown} was deleted or replaced: runs go to the new one.'
            )

    def _divide(self, batch: Batch, error: Exception) -> None:
        """Try the halves of a batch by themselves, and in the end refuse the run that the database does."""
        entries, half = batch.entries, (len(batch.entries) + 1) // 2
        parts: list[_Part] = [(part, {}, 0) for part in (entries[:half], entries[half:]) if part]
        if batch.counts:
            parts.append(((), batch.counts, batch.count_ticket))
        if len(parts) > 1:
            self._batch = None
            self._parts.extendleft(reversed(parts))
        elif not self._is_doubted:
            # What was known of the database is forgotten by now, if it was that.
            self._is_doubted = True
        else:
            self._batch = None
            with self._settled:
                self._refused += len(entries)
                self._settle_batch(batch)
            self._tell_of_refused(describe(error), 'A run or its outcomes' if entries else 'Counts')

    def _settle_batch(self, batch: Batch) -> None:
        for entry in batch.entries:
            self._written_ticket = max(self._written_ticket, entry.ticket)
        self._spool.let_go(batch.entries)
        self._written_count_ticket = max(self._written_count_ticket, batch.count_ticket)
        self._settle(len(batch.entries))

    def _wait_for_database(self, error: Exception) -> None:
        self._ready_for = None
        # A session of before may not see that the database is back, or may be written to again.
        self._database.close()
        wait = min(MAX_RETRY_SECONDS, self._retry_seconds * 2**self._failures)
        self._failures = min(self._failures + 1, 16)
        described = str(error) if isinstance(error, AssayError) else describe(error)
        with self._lock:
            self._retry_at = time.monotonic() + wait
            self._last_error = described
        self._notices.warn('away', f'Runs wait to be stored: {described}')

    def _tell_of_refused(self, reason: str, what: str = 'A run or its outcomes') -> None:
        self._notices.warn('refused', f'{what} were not stored: {reason}')

    def _settle(self, entries: int) -> None:
        self._waiting -= entries
        self._settled.notify_all()

    def _warn_of_given_up(self) -> None:
        self._notices.warn(
            'given up',
            f'Runs were not stored because too many waited (spool_runs={self._max_entries}, '
            f'spool_bytes={self._max_bytes}): the store {self._database.shown} is away or too slow.',
        )

    def _maintain(self) -> None:
        """Keep the store within its bounds."""
        self._maintained_at = begun = time.monotonic()
        try:
            for _ in self._retention.steps(self._database):
                has_had_its_turn = not self.is_idle and time.monotonic() - begun > TURN_SECONDS
                if has_had_its_turn or self._thread is None:
                    self._maintained_at = float('-inf')
                    break
        except AssayError as error:
            self._notices.warn('retention', f'Old runs were not deleted: {error}')
