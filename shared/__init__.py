"""What the parts of AI-Nexus have in common: the manifest, the pure core, the providers, the edge."""
