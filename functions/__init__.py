"""The Lambda functions: one module per trigger, and the runtime loop that serves them."""
