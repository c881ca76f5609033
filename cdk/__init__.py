"""The infrastructure as code, the local run of it, and the `nexus` command."""
