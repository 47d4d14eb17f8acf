"""The due-task pages: permission, call, answer."""
