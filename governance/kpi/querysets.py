"""Questions about targets."""

from __future__ import annotations

from governance.kpi.models import Target


def targets() -> dict[str, Target]:
    """Return the targets by the figure they are for."""
    return {target.metric: target for target in Target.objects.all()}
