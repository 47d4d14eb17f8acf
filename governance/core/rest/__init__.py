"""Code shared by every REST entry point."""
