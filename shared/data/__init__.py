"""What people configure: models, providers and tiers."""
