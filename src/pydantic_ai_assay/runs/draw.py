"""The draw that decides whether a run is chosen, or a judge asked: a hash, so that a replay decides the same."""

from __future__ import annotations

from hashlib import blake2b

__all__ = ('uniform_draw',)


def uniform_draw(unit: str, evaluator: str = '') -> float:
    """A number in [0, 1) that depends on nothing but its arguments.

    It is the first 53 bits of BLAKE2b over the two, divided by 2^53, so uniform over units and independent between
    evaluators.

    Args:
        unit: The id of what is drawn: a run's, or a conversation's to keep it together.
        evaluator: What identifies the evaluator, or the step of a cascade; left out, the draw is the one that all
            evaluators of a unit share.
    """
    digest = blake2b(f'{unit}\0{evaluator}'.encode('utf-8', 'surrogatepass'), digest_size=8).digest()
    return (int.from_bytes(digest, 'big') >> 11) / (1 << 53)
