"""The demo's policies, one file per change that its steps make; a package so that they travel."""
