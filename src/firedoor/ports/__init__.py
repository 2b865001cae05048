"""The doors through which effects leave. Each Protocol says what an implementation owes its caller."""
