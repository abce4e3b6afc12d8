"""What documents say and can't mean, a file per kind. Entry point: `contradictions.py`."""
