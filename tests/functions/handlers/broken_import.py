"""A module that fails to import."""

raise RuntimeError("no " + "luck")
