"""Date formats: instants with their time zone, since readers are in six time zones."""
