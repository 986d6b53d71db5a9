"""Where documents come from beside a RunEngine: stored runs, later 0MQ and files."""
