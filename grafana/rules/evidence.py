"""How sure a share of few requests is, in PromQL.

The lower end of the Wilson score interval (Wilson 1927) for `bad` of `all` at the normal quantile
z, with numerator and denominator multiplied by the number of requests:

    (bad + z^2/2 - z sqrt(bad (all - bad) / all + z^2/4)) / (all + z^2)

It is above 0 for a single bad request of a single one, so a least number of bad ones stands beside
it: that many must have happened, whatever their share.
"""

from grafana.slo import Evidence


def lower_bound(bad: str, requests: str, evidence: Evidence) -> str:
    """Return the lower end of the share of `bad` in `requests`, two series with equal labels.

    It has no series where too few requests were bad. The counts of `increase` are extrapolated and
    no whole numbers, so the least number is compared with half a request of room.
    """
    z = evidence.z
    enough = evidence.bad_requests_min - 0.5
    return (
        f"(\n"
        f"  {bad} + {z * z / 2:.5g}\n"
        f"  - {z:.5g} * sqrt({bad} * ({requests} - {bad}) / {requests} + {z * z / 4:.5g})\n"
        f")\n"
        f"/ ({requests} + {z * z:.5g})\n"
        f"and {bad} > {enough:g}"
    )
