"""What online evaluation costs, side by side with pydantic-evals' own: `python -m benchmarks` from the checkout's root."""
