"""The data plane: routes, the driver that carries out effects, the switches as a worker sees them."""
