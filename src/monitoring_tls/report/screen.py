"""The status screen: is the profile followed, are the certificates healthy, what is going on, what is wrong."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

_GOOD = {"Available": "True", "Progressing": "False", "Degraded": "False", "ProfileValid": "True", "Compliant": "True"}
_SOON_DAYS = 14


def show(obj: Mapping[str, Any], console: Console | None = None) -> None:
    """Print the screen.

    Args:
        obj: ``MonitoringTLS/cluster``.
        console: where to; the terminal by default.
    """
    console = console or Console()
    status = obj.get("status") or {}
    mode = (obj.get("spec") or {}).get("mode", "Audit")
    profile = status.get("profile") or {}
    rotation = status.get("rotation") or {}
    console.print(Text.assemble(("mode     ", "dim"), mode))
    settings = f"{profile.get('name', 'unknown')}, from {profile.get('minTLSVersion', '?')} on"
    console.print(Text.assemble(("profile  ", "dim"), settings))
    stage = f"{rotation.get('stage', 'unknown')}" + (f": {rotation['step']}" if rotation.get("step") else "")
    console.print(Text.assemble(("rotation ", "dim"), stage))
    console.print()
    for table in (_conditions(status), _components(status), _certificates(status)):
        console.print(table)
        console.print()
    for row in status.get("components") or ():
        if row.get("message"):
            console.print(Text.assemble((f"{row['name']}: ", "dim"), row["message"]))
    for text in profile.get("warnings") or ():
        console.print(Text.assemble(("note     ", "dim"), text))
    stale = status.get("processesTrustingOldCA") or ()
    if stale:
        console.print(Text.assemble(("note     ", "dim"), f"still trust a retired CA in memory: {', '.join(stale)}"))


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for column in columns[:-1]:
        table.add_column(column, no_wrap=True)
    table.add_column(columns[-1])
    return table


def _conditions(status: Mapping[str, Any]) -> Table:
    table = _table("CONDITION", "STATUS", "REASON", "MESSAGE")
    for condition in status.get("conditions") or ():
        good = _GOOD.get(condition["type"], condition["status"]) == condition["status"]
        style = "green" if good else "yellow" if condition["type"] == "Progressing" else "red"
        table.add_row(condition["type"], Text(condition["status"], style), condition["reason"], condition["message"])
    return table


def _components(status: Mapping[str, Any]) -> Table:
    table = _table("COMPONENT", "PODS", "SERVING", "TRUSTING", "PROFILE", "EVIDENCE", "ROLLOUT")
    for row in status.get("components") or ():
        cells = [row.get(key, "") for key in ("serving", "trusting", "followsProfile", "evidence", "rollout")]
        table.add_row(row["name"], str(row.get("pods", "")), *cells)
    return table


def _certificates(status: Mapping[str, Any]) -> Table:
    table = _table("CERTIFICATE", "PART", "ENDS IN", "RENEWAL IN", "STATE")
    now = datetime.now(UTC)
    for row in status.get("certificates") or ():
        ends, renewal = _left(row.get("notAfter"), now), _left(row.get("nextRenewal"), now)
        table.add_row(row["name"], row.get("stage", ""), ends, renewal, row.get("state", ""))
    return table


def _left(text: str | None, now: datetime) -> Text:
    if not text:
        return Text("")
    left = datetime.fromisoformat(text) - now
    shown = f"{left.days} d" if left.days else f"{left.seconds // 3600} h {left.seconds % 3600 // 60} min"
    if left.total_seconds() <= 0:
        return Text("over", "red")
    return Text(shown, "yellow" if left.days < _SOON_DAYS else "")
