"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0001'
down_revision = None
branch_labels = None
depends_on = None

DOUBLE: sa.Double[float] = sa.Double()
NUMBER = sa.BigInteger().with_variant(sa.Integer(), 'sqlite')


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        'assay_evaluators',
        sa.Column('id', NUMBER, nullable=False),
        sa.Column('name', sa.String(length=200), nullable=False),
        sa.Column('fingerprint', sa.String(length=200), nullable=False),
        sa.Column('version', sa.String(length=200), nullable=True),
        sa.Column('spec', sa.Text(), nullable=True),
        sa.Column('first_seen', sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_assay_evaluators')),
        sa.UniqueConstraint('name', 'fingerprint', name=op.f('uq_assay_evaluators_name_fingerprint')),
    )
    op.create_table(
        'assay_feedback',
        sa.Column('id', NUMBER, nullable=False),
        sa.Column('run_id', sa.String(length=200), nullable=True),
        sa.Column('trace_id', sa.String(length=32), nullable=True),
        sa.Column('span_id', sa.String(length=16), nullable=True),
        sa.Column('name', sa.String(length=200), nullable=False),
        sa.Column('value', sa.Text(), nullable=False),
        sa.Column('score', DOUBLE, nullable=True),
        sa.Column('comment', sa.Text(), nullable=True),
        sa.Column('by', sa.String(length=200), nullable=True),
        sa.Column('at', sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_assay_feedback')),
    )
    op.create_index(op.f('ix_assay_feedback_name_at'), 'assay_feedback', ['name', 'at'], unique=False)
    op.create_index(op.f('ix_assay_feedback_run_id'), 'assay_feedback', ['run_id'], unique=False)
    op.create_index(op.f('ix_assay_feedback_trace_id_span_id'), 'assay_feedback', ['trace_id', 'span_id'], unique=False)
    op.create_table(
        'assay_marks',
        sa.Column('id', sa.Integer(), autoincrement=False, nullable=False),
        sa.Column('last_run', sa.BigInteger(), nullable=False),
        sa.Column('last_outcome', sa.BigInteger(), nullable=False),
        sa.Column('runs', sa.BigInteger(), nullable=False),
        sa.Column('outcomes', sa.BigInteger(), nullable=False),
        sa.Column('bytes', sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_assay_marks')),
    )
    op.create_table(
        'assay_runs',
        sa.Column('id', NUMBER, autoincrement=False, nullable=False),
        sa.Column('run_id', sa.String(length=200), nullable=False),
        sa.Column('target', sa.String(length=200), nullable=False),
        sa.Column('agent', sa.String(length=200), nullable=True),
        sa.Column('path', sa.Text(), nullable=False),
        sa.Column('parent_run_id', sa.String(length=200), nullable=True),
        sa.Column('conversation_id', sa.String(length=200), nullable=True),
        sa.Column('trace_id', sa.String(length=32), nullable=True),
        sa.Column('span_id', sa.String(length=16), nullable=True),
        sa.Column('model', sa.String(length=200), nullable=True),
        sa.Column('variant', sa.String(length=200), nullable=True),
        sa.Column('outcome', sa.String(length=10), nullable=False),
        sa.Column('error_type', sa.String(length=200), nullable=True),
        sa.Column('started_at', sa.BigInteger(), nullable=False),
        sa.Column('duration', DOUBLE, nullable=False),
        sa.Column('requests', sa.BigInteger(), nullable=False),
        sa.Column('input_tokens', sa.BigInteger(), nullable=False),
        sa.Column('output_tokens', sa.BigInteger(), nullable=False),
        sa.Column('cost', DOUBLE, nullable=True),
        sa.Column('prompt', sa.Text(), nullable=True),
        sa.Column('answer', sa.Text(), nullable=True),
        sa.Column('bytes', sa.BigInteger(), nullable=False),
        sa.Column('stored_at', sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_assay_runs')),
        sa.UniqueConstraint('run_id', name=op.f('uq_assay_runs_run_id')),
    )
    op.create_index(op.f('ix_assay_runs_conversation_id'), 'assay_runs', ['conversation_id'], unique=False)
    op.create_index(op.f('ix_assay_runs_cost_id'), 'assay_runs', ['cost', 'id'], unique=False)
    op.create_index(op.f('ix_assay_runs_duration_id'), 'assay_runs', ['duration', 'id'], unique=False)
    op.create_index(
        op.f('ix_assay_runs_outcome_started_at_id'), 'assay_runs', ['outcome', 'started_at', 'id'], unique=False
    )
    op.create_index(op.f('ix_assay_runs_started_at_id'), 'assay_runs', ['started_at', 'id'], unique=False)
    op.create_index(
        op.f('ix_assay_runs_target_started_at_id'), 'assay_runs', ['target', 'started_at', 'id'], unique=False
    )
    op.create_index(op.f('ix_assay_runs_trace_id'), 'assay_runs', ['trace_id'], unique=False)
    op.create_table(
        'assay_writers',
        sa.Column('id', sa.String(length=36), nullable=False),
        sa.Column('batch', sa.BigInteger(), nullable=False),
        sa.Column('written_at', sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_assay_writers')),
    )
    op.create_table(
        'assay_cells',
        sa.Column('id', NUMBER, nullable=False),
        sa.Column('key', sa.String(length=32), nullable=False),
        sa.Column('series', sa.String(length=200), nullable=False),
        sa.Column('target', sa.String(length=200), nullable=False),
        sa.Column('path', sa.Text(), nullable=False),
        sa.Column('evaluator', NUMBER, nullable=False),
        sa.Column('kind', sa.String(length=200), nullable=False),
        sa.Column('name', sa.String(length=200), nullable=False),
        sa.Column('label', sa.String(length=200), nullable=False),
        sa.Column('variant', sa.String(length=200), nullable=False),
        sa.Column('model', sa.String(length=200), nullable=False),
        sa.Column('tag', sa.String(length=200), nullable=False),
        sa.ForeignKeyConstraint(['evaluator'], ['assay_evaluators.id'], name=op.f('fk_assay_cells_evaluator')),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_assay_cells')),
        sa.UniqueConstraint('key', name=op.f('uq_assay_cells_key')),
    )
    op.create_index(op.f('ix_assay_cells_evaluator'), 'assay_cells', ['evaluator'], unique=False)
    op.create_index(op.f('ix_assay_cells_tag'), 'assay_cells', ['tag'], unique=False)
    op.create_table(
        'assay_contents',
        sa.Column('run', NUMBER, autoincrement=False, nullable=False),
        sa.Column('content', sa.LargeBinary(), nullable=False),
        sa.Column('spans', sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(['run'], ['assay_runs.id'], name=op.f('fk_assay_contents_run'), ondelete='CASCADE'),
        sa.PrimaryKeyConstraint('run', name=op.f('pk_assay_contents')),
    )
    op.create_table(
        'assay_outcomes',
        sa.Column('id', NUMBER, autoincrement=False, nullable=False),
        sa.Column('run', NUMBER, nullable=False),
        sa.Column('evaluator', NUMBER, nullable=False),
        sa.Column('series', sa.String(length=200), nullable=False),
        sa.Column('status', sa.String(length=11), nullable=False),
        sa.Column('passed', sa.Boolean(), nullable=True),
        sa.Column('score', DOUBLE, nullable=True),
        sa.Column('probability', DOUBLE, nullable=False),
        sa.Column('attempts', sa.Integer(), nullable=False),
        sa.Column('duration', DOUBLE, nullable=False),
        sa.Column('waited', DOUBLE, nullable=False),
        sa.Column('judge_cost', DOUBLE, nullable=True),
        sa.Column('started_at', sa.BigInteger(), nullable=False),
        sa.Column('finished_at', sa.BigInteger(), nullable=False),
        sa.Column('detail', sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(['evaluator'], ['assay_evaluators.id'], name=op.f('fk_assay_outcomes_evaluator')),
        sa.ForeignKeyConstraint(['run'], ['assay_runs.id'], name=op.f('fk_assay_outcomes_run'), ondelete='CASCADE'),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_assay_outcomes')),
        sa.UniqueConstraint('run', 'evaluator', 'series', name=op.f('uq_assay_outcomes_run_evaluator_series')),
    )
    op.create_index(
        op.f('ix_assay_outcomes_evaluator_status_passed_started_at_run'),
        'assay_outcomes',
        ['evaluator', 'status', 'passed', 'started_at', 'run'],
        unique=False,
    )
    op.create_table(
        'assay_tags',
        sa.Column('run', NUMBER, autoincrement=False, nullable=False),
        sa.Column('tag', sa.String(length=200), nullable=False),
        sa.Column('started_at', sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(['run'], ['assay_runs.id'], name=op.f('fk_assay_tags_run'), ondelete='CASCADE'),
        sa.PrimaryKeyConstraint('run', 'tag', name=op.f('pk_assay_tags')),
    )
    op.create_index(op.f('ix_assay_tags_tag_started_at_run'), 'assay_tags', ['tag', 'started_at', 'run'], unique=False)
    op.create_table(
        'assay_aggregates',
        sa.Column('resolution', sa.Integer(), autoincrement=False, nullable=False),
        sa.Column('start', sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column('cell', NUMBER, autoincrement=False, nullable=False),
        sa.Column('scored', sa.BigInteger(), nullable=False),
        sa.Column('failed', sa.BigInteger(), nullable=False),
        sa.Column('timed_out', sa.BigInteger(), nullable=False),
        sa.Column('dropped', sa.BigInteger(), nullable=False),
        sa.Column('over_budget', sa.BigInteger(), nullable=False),
        sa.Column('sampled_out', sa.BigInteger(), nullable=False),
        sa.Column('skipped', sa.BigInteger(), nullable=False),
        sa.Column('count', sa.BigInteger(), nullable=False),
        sa.Column('sum_w', DOUBLE, nullable=False),
        sa.Column('sum_w2', DOUBLE, nullable=False),
        sa.Column('sum_wx', DOUBLE, nullable=False),
        sa.Column('sum_w2x', DOUBLE, nullable=False),
        sa.Column('sum_w2x2', DOUBLE, nullable=False),
        sa.Column('minimum', DOUBLE, nullable=True),
        sa.Column('maximum', DOUBLE, nullable=True),
        sa.Column('first_at', sa.BigInteger(), nullable=False),
        sa.Column('last_at', sa.BigInteger(), nullable=False),
        sa.Column('duration', DOUBLE, nullable=False),
        sa.Column('waited', DOUBLE, nullable=False),
        sa.Column('judge_cost', DOUBLE, nullable=False),
        sa.Column('attempts', sa.BigInteger(), nullable=False),
        sa.Column('judge_requests', sa.BigInteger(), nullable=False),
        sa.Column('judge_input_tokens', sa.BigInteger(), nullable=False),
        sa.Column('judge_output_tokens', sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(['cell'], ['assay_cells.id'], name=op.f('fk_assay_aggregates_cell')),
        sa.PrimaryKeyConstraint('resolution', 'start', 'cell', name=op.f('pk_assay_aggregates')),
        sqlite_with_rowid=False,
    )

    op.execute('INSERT INTO assay_marks (id, last_run, last_outcome, runs, outcomes, bytes) VALUES (1, 0, 0, 0, 0, 0)')


def downgrade() -> None:
    """Delete the tables, and all that is in them."""
    for table in (
        'assay_aggregates',
        'assay_cells',
        'assay_feedback',
        'assay_outcomes',
        'assay_tags',
        'assay_contents',
        'assay_evaluators',
        'assay_runs',
        'assay_writers',
        'assay_marks',
    ):
        op.drop_table(table)
