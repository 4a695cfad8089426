"""The colours of the dashboards: one meaning each, the same everywhere.

Names are those of Grafana's own palette, which adapts them to its light and its dark theme.
"""

GOOD = "green"
WARNING = "yellow"
SERIOUS = "orange"
BAD = "red"
PLAIN = "text"  # a number without an objective: neither good nor bad

LIVE = "blue"
CANARY = "orange"
SHADOW = "purple"
LABELS = "green"
ESTIMATE = "purple"
OBJECTIVE = "#9E9E9E"
UNKNOWN = "#9E9E9E"

ROLLOUT = "blue"
ROLLBACK = "red"
RETRAIN = "purple"
RESTART = "yellow"
PAGE = "red"
