"""How the state database came to its present shape, one step a file. Run by `firedoor.store.state`."""
