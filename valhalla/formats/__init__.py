"""How dates are written: instants with their clock, for people read them in six time zones."""
