"""Leads, templates, ladders and tasks on the managers' screens. Personal data is shown with leads alone."""

from followups.admin import ladders, leads, records, tasks, templates  # noqa: F401  # registers their screens
