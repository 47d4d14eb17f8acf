"""Admin classes for leads, templates, ladders and tasks. Personal information is shown with leads only."""

from followups.admin import ladders, leads, records, tasks, templates  # noqa: F401  # registers their screens
