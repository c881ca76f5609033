"""Adapters: one pure translator per wire dialect. They never talk; `shared.edge.http` does."""
