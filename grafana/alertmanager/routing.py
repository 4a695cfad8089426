"""Alertmanager's configuration: who is told of what, made from the owners in `slo.yaml`.

Critical is a page, warning a ticket, info is written down; each goes to the alert's owner, and
where no owner of the file is named, to the fallback. Notifications are grouped by alert and tenant.
"""

from collections.abc import Iterator

from grafana.alertmanager import inhibitions
from grafana.rules.rule import block_yaml
from grafana.slo import Receiver, Slo

HEADER = "Made from slo.yaml by `python -m grafana.generate`; changes here are lost."
WATCHDOG = "TenantryWatchdog"
HEARTBEAT = "heartbeat"

_URGENCIES = (("critical", "page"), ("warning", "ticket"), ("info", "info"))
_TEXT = (
    "{{ range .Alerts }}{{ .Annotations.summary }}\n{{ .Annotations.description }}\n"
    "Runbook: {{ .Annotations.runbook_url }}\nDashboard: {{ .Annotations.dashboard_url }}\n\n"
    "{{ end }}"
)
_TITLE = (
    '[{{ .Status | toUpper }}{{ if eq .Status "firing" }} {{ .Alerts.Firing | len }}{{ end }}]'
    " {{ .CommonLabels.alertname }} {{ .CommonLabels.tenant }}"
)


def alertmanager_yaml(slo: Slo) -> str:
    """Return the whole file."""
    document: dict[str, object] = {}
    if slo.smtp is not None:
        document["global"] = _mail(slo)
    document["route"] = {
        "receiver": f"{slo.fallback}-ticket",
        "group_by": ["alertname", "cluster", "tenant"],
        "group_wait": "30s",
        "group_interval": "5m",
        "repeat_interval": "1d",
        "routes": [_heartbeat(), *(_of_severity(slo, *one) for one in _URGENCIES)],
    }
    document["inhibit_rules"] = inhibitions.documents(slo)
    document["receivers"] = [
        _receiver(HEARTBEAT, slo.heartbeat),
        *(
            _receiver(f"{name}-{urgency}", getattr(owner, urgency))
            for name, owner in sorted(slo.owners.items())
            for _, urgency in _URGENCIES
        ),
    ]
    return block_yaml(HEADER, document)


def _heartbeat() -> dict[str, object]:
    """Return the route of the dead-man's switch: it tells each minute that it is alive."""
    return {
        "matchers": [f'alertname="{WATCHDOG}"'],
        "receiver": HEARTBEAT,
        "group_wait": "0s",
        "group_interval": "1m",
        # Below the interval of the group, or every second beat would come too early to be sent.
        "repeat_interval": "50s",
    }


def _of_severity(slo: Slo, severity: str, urgency: str) -> dict[str, object]:
    times = {
        "page": {"group_wait": "10s", "repeat_interval": "4h"},
        "ticket": {"repeat_interval": "1d"},
        "info": {"group_wait": "5m", "group_interval": "1h", "repeat_interval": "7d"},
    }
    return {
        "matchers": [f'severity="{severity}"'],
        "receiver": f"{slo.fallback}-{urgency}",
        **times[urgency],
        "routes": [
            {"matchers": [f'owner="{owner}"'], "receiver": f"{owner}-{urgency}"}
            for owner in sorted(slo.owners)
        ],
    }


def _mail(slo: Slo) -> dict[str, object]:
    assert slo.smtp is not None
    mail: dict[str, object] = {
        "smtp_from": slo.smtp.sender,
        "smtp_smarthost": slo.smtp.smarthost,
    }
    if slo.smtp.username is not None:
        mail["smtp_auth_username"] = slo.smtp.username
    if slo.smtp.password_file is not None:
        mail["smtp_auth_password_file"] = slo.smtp.password_file
    return mail


def _receiver(name: str, receiver: Receiver) -> dict[str, object]:
    return {"name": name, **dict(_ways(receiver))}


def _ways(receiver: Receiver) -> Iterator[tuple[str, list[dict[str, object]]]]:
    if receiver.webhook is not None:
        way: dict[str, object] = {"url": receiver.webhook.url, "send_resolved": True}
        if receiver.webhook.credentials_file is not None:
            credentials = {"credentials_file": receiver.webhook.credentials_file}
            way["http_config"] = {"authorization": credentials}
        yield "webhook_configs", [way]
    if receiver.slack is not None:
        yield (
            "slack_configs",
            [
                {
                    "api_url_file": receiver.slack.url_file,
                    "channel": receiver.slack.channel,
                    "send_resolved": True,
                    "title": _TITLE,
                    "text": _TEXT,
                }
            ],
        )
    if receiver.email is not None:
        yield (
            "email_configs",
            [
                {
                    "to": receiver.email.to,
                    "send_resolved": True,
                    "headers": {"Subject": _TITLE},
                    "html": "",
                    "text": _TEXT,
                }
            ],
        )
