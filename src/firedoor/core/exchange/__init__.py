"""One request as a state machine: facts in (`events`), requests out (`effects`), the order of things in `machine`."""
