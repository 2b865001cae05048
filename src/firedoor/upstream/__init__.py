"""Model servers: over HTTP, the embedded one, and a scripted one for drills and tests."""
