"""The control API of a region: HTTP on a Unix socket."""
