"""What every REST entry point shares."""
