"""Where the product meets the world: AWS, Valkey, HTTP, the environment. Everything else asks this package."""
