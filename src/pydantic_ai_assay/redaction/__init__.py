"""What a run's text is turned into before anything of it leaves the process."""
