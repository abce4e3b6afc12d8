"""What a document can't mean though its fields fit: the parts of `contradictions.py`."""
