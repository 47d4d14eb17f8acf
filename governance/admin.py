"""The hallway: the screens of each room."""

import governance.contact.admin
import governance.golive.admin
import governance.heimdall.admin
import governance.kpi.admin
import governance.market.admin
import governance.outbox.admin
import governance.people.admin
import governance.retention.admin
import governance.risk.admin
import governance.runbook.admin
import governance.tripwire.admin  # noqa: F401
