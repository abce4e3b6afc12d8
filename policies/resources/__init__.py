"""What users write: Istio's kinds as pydantic models, every field, one folder per API group."""
