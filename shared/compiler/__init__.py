"""Compiles the files that people write into what the hot path reads; only the control plane and CDK load it."""
