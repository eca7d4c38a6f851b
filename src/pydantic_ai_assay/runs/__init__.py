"""What one run left behind: its record, its spans, the context evaluators see, and what became of each evaluation."""
