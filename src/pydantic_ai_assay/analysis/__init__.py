"""Numbers from scores: rates and means with intervals, comparison, agreement with people, corrected rates. No I/O.

Intervals need SciPy, which the extra `analysis` brings.
"""

from .agreement import Agreement, Disagreement, agreement
from .comparison import Comparison, compare
from .consistency import position_consistency, self_consistency
from .corrected import Corrected, Population, corrected_mean, corrected_rate, corrected_rate_from_moments
from .coverage import Coverage
from .estimate import Estimate, EstimateKind, estimate_mean, estimate_rate
from .grouping import Dimension, bucket_start, group_rows
from .identity import EvaluatorIdentity
from .interval import Interval
from .moments import Moments, label_moments
from .row import EvaluationRow, rows_of
from .series import EvaluatorChange, Series, SeriesEstimates, estimate_series, merge_series, series_of

__all__ = (
    'Agreement',
    'Comparison',
    'Corrected',
    'Coverage',
    'Dimension',
    'Disagreement',
    'Estimate',
    'EstimateKind',
    'EvaluationRow',
    'EvaluatorChange',
    'EvaluatorIdentity',
    'Interval',
    'Moments',
    'Population',
    'Series',
    'SeriesEstimates',
    'agreement',
    'bucket_start',
    'compare',
    'corrected_mean',
    'corrected_rate',
    'corrected_rate_from_moments',
    'estimate_mean',
    'estimate_rate',
    'estimate_series',
    'group_rows',
    'label_moments',
    'merge_series',
    'position_consistency',
    'rows_of',
    'self_consistency',
    'series_of',
)
