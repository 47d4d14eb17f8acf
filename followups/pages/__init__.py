"""The due-task pages: check the permission, call the service, respond."""
