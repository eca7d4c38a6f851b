"""The tables of a store. `migrations` makes the same ones; a test holds them against each other."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

__all__ = (
    'AGGREGATES',
    'CELLS',
    'CONTENTS',
    'EVALUATORS',
    'FEEDBACK',
    'MARKS',
    'METADATA',
    'OUTCOMES',
    'REVISION',
    'RUNS',
    'TAGS',
    'VERSION_TABLE',
    'WRITERS',
)

REVISION = '0001'
"""The migration that makes these tables."""
VERSION_TABLE = 'assay_version'
SHORT = 200
"""Characters of a name, a label or an id."""

METADATA = MetaData(
    naming_convention={
        'ix': 'ix_%(table_name)s_%(column_0_N_name)s',
        'uq': 'uq_%(table_name)s_%(column_0_N_name)s',
        'fk': 'fk_%(table_name)s_%(column_0_N_name)s',
        'pk': 'pk_%(table_name)s',
    }
)
# On SQLite only a column declared as INTEGER is the row's own number.
_ID = BigInteger().with_variant(Integer, 'sqlite')


def _name(name: str, *, nullable: bool = False) -> Column[str]:
    return Column(name, String(SHORT), nullable=nullable)


MARKS = Table(
    'assay_marks',
    METADATA,
    Column('id', Integer, primary_key=True, autoincrement=False),
    Column('last_run', BigInteger, nullable=False),
    Column('last_outcome', BigInteger, nullable=False),
    Column('runs', BigInteger, nullable=False),
    Column('outcomes', BigInteger, nullable=False),
    Column('bytes', BigInteger, nullable=False),
)
"""One row: the numbers given to runs and outcomes, and how many there are. Whoever writes changes it first, so that
writers follow one another: numbers grow in the order in which they are seen, and nothing is written twice."""

WRITERS = Table(
    'assay_writers',
    METADATA,
    Column('id', String(36), primary_key=True),
    Column('batch', BigInteger, nullable=False),
    Column('written_at', BigInteger, nullable=False),
)
"""The last batch of each writer, so that one whose commit was not confirmed is not written again."""

RUNS = Table(
    'assay_runs',
    METADATA,
    Column('id', _ID, primary_key=True, autoincrement=False),
    _name('run_id'),
    _name('target'),
    _name('agent', nullable=True),
    Column('path', Text, nullable=False),
    _name('parent_run_id', nullable=True),
    _name('conversation_id', nullable=True),
    Column('trace_id', String(32), nullable=True),
    Column('span_id', String(16), nullable=True),
    _name('model', nullable=True),
    _name('variant', nullable=True),
    Column('outcome', String(10), nullable=False),
    _name('error_type', nullable=True),
    Column('started_at', BigInteger, nullable=False),
    Column('duration', Double, nullable=False),
    Column('requests', BigInteger, nullable=False),
    Column('input_tokens', BigInteger, nullable=False),
    Column('output_tokens', BigInteger, nullable=False),
    Column('cost', Double, nullable=True),
    Column('prompt', Text, nullable=True),
    Column('answer', Text, nullable=True),
    Column('bytes', BigInteger, nullable=False),
    Column('stored_at', BigInteger, nullable=False),
    UniqueConstraint('run_id'),
    Index(None, 'started_at', 'id'),
    Index(None, 'target', 'started_at', 'id'),
    Index(None, 'outcome', 'started_at', 'id'),
    Index(None, 'duration', 'id'),
    Index(None, 'cost', 'id'),
    Index(None, 'conversation_id'),
    Index(None, 'trace_id'),
)

CONTENTS = Table(
    'assay_contents',
    METADATA,
    Column('run', _ID, ForeignKey('assay_runs.id', ondelete='CASCADE'), primary_key=True, autoincrement=False),
    Column('content', LargeBinary, nullable=False),
    Column('spans', LargeBinary, nullable=True),
)

TAGS = Table(
    'assay_tags',
    METADATA,
    Column('run', _ID, ForeignKey('assay_runs.id', ondelete='CASCADE'), primary_key=True, autoincrement=False),
    Column('tag', String(SHORT), primary_key=True),
    Column('started_at', BigInteger, nullable=False),
    Index(None, 'tag', 'started_at', 'run'),
)

EVALUATORS = Table(
    'assay_evaluators',
    METADATA,
    Column('id', _ID, primary_key=True),
    _name('name'),
    _name('fingerprint'),
    _name('version', nullable=True),
    Column('spec', Text, nullable=True),
    Column('first_seen', BigInteger, nullable=False),
    UniqueConstraint('name', 'fingerprint'),
)

OUTCOMES = Table(
    'assay_outcomes',
    METADATA,
    Column('id', _ID, primary_key=True, autoincrement=False),
    Column('run', _ID, ForeignKey('assay_runs.id', ondelete='CASCADE'), nullable=False),
    Column('evaluator', _ID, ForeignKey('assay_evaluators.id'), nullable=False),
    _name('series'),
    Column('status', String(11), nullable=False),
    Column('passed', Boolean, nullable=True),
    Column('score', Double, nullable=True),
    Column('probability', Double, nullable=False),
    Column('attempts', Integer, nullable=False),
    Column('duration', Double, nullable=False),
    Column('waited', Double, nullable=False),
    Column('judge_cost', Double, nullable=True),
    Column('started_at', BigInteger, nullable=False),
    Column('finished_at', BigInteger, nullable=False),
    Column('detail', LargeBinary, nullable=True),
    UniqueConstraint('run', 'evaluator', 'series'),
    Index(None, 'evaluator', 'status', 'passed', 'started_at', 'run'),
)
"""`started_at` is the run's, so that its page of runs is found by one index."""

FEEDBACK = Table(
    'assay_feedback',
    METADATA,
    Column('id', _ID, primary_key=True),
    _name('run_id', nullable=True),
    Column('trace_id', String(32), nullable=True),
    Column('span_id', String(16), nullable=True),
    _name('name'),
    Column('value', Text, nullable=False),
    Column('score', Double, nullable=True),
    Column('comment', Text, nullable=True),
    _name('by', nullable=True),
    Column('at', BigInteger, nullable=False),
    Index(None, 'run_id'),
    Index(None, 'trace_id', 'span_id'),
    Index(None, 'name', 'at'),
)
"""Not tied to the runs: feedback may come before its run is written, or about one that was never captured."""

CELLS = Table(
    'assay_cells',
    METADATA,
    Column('id', _ID, primary_key=True),
    Column('key', String(32), nullable=False),
    _name('series'),
    _name('target'),
    Column('path', Text, nullable=False),
    Column('evaluator', _ID, ForeignKey('assay_evaluators.id'), nullable=False),
    _name('kind'),
    _name('name'),
    _name('label'),
    _name('variant'),
    _name('model'),
    _name('tag'),
    UniqueConstraint('key'),
    Index(None, 'evaluator'),
    Index(None, 'tag'),
)
"""What the sums of one series of aggregates are about. `key` is a hash of all the rest. What has no tag is about all runs, and
what has one about those of them that have it."""

AGGREGATES = Table(
    'assay_aggregates',
    METADATA,
    Column('resolution', Integer, primary_key=True, autoincrement=False),
    Column('start', BigInteger, primary_key=True, autoincrement=False),
    Column('cell', _ID, ForeignKey('assay_cells.id'), primary_key=True, autoincrement=False),
    *(
        Column(status, BigInteger, nullable=False)
        for status in ('scored', 'failed', 'timed_out', 'dropped', 'over_budget', 'sampled_out', 'skipped')
    ),
    Column('count', BigInteger, nullable=False),
    *(Column(name, Double, nullable=False) for name in ('sum_w', 'sum_w2', 'sum_wx', 'sum_w2x', 'sum_w2x2')),
    Column('minimum', Double, nullable=True),
    Column('maximum', Double, nullable=True),
    Column('first_at', BigInteger, nullable=False),
    Column('last_at', BigInteger, nullable=False),
    *(Column(name, Double, nullable=False) for name in ('duration', 'waited', 'judge_cost')),
    *(
        Column(name, BigInteger, nullable=False)
        for name in ('attempts', 'judge_requests', 'judge_input_tokens', 'judge_output_tokens')
    ),
    sqlite_with_rowid=False,
)
"""Sums per minute, ten minutes, hour and day (`resolution` in seconds, `start` in seconds since 1970) in which runs started."""
