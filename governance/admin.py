"""Imports each package's admin classes, which register themselves."""

import governance.accounts.admin
import governance.contact.admin
import governance.golive.admin
import governance.heimdall.admin
import governance.kpi.admin
import governance.market.admin
import governance.outbox.admin
import governance.retention.admin
import governance.risk.admin
import governance.runbook.admin
import governance.tripwire.admin  # noqa: F401  # registers its screens
