"""A drift assessment in one plain sentence."""

from service.measures import Estimate


def reading_of(effect: Estimate, reweighted: Estimate, content: Estimate) -> str:
    """Return what effects, in units of the tolerance, say.

    `reweighted` is at the reference's class mix, `content` at the window's; both may be undefined.
    """
    if effect.upper <= 1:
        return "within tolerance"
    if effect.value <= 1:
        return "within tolerance, but so few rows cannot exclude that it is beyond"
    if effect.lower <= 1:
        return "perhaps beyond tolerance: more rows are needed to tell"
    return f"beyond tolerance: {_cause(effect, reweighted, content)}"


def _cause(effect: Estimate, reweighted: Estimate, content: Estimate) -> str:
    if not content.is_defined:
        return "whether by other content or another class mix is unknown"
    if content.lower > 1:
        if reweighted.value < effect.value / 2:
            return "other content, and another class mix"
        return "other content"
    if content.value <= min(1, effect.value / 2):
        return "another class mix; the content of the classes is within tolerance"
    if content.upper < effect.value / 2:
        return "another class mix for the most part"
    return "other content or another class mix: more rows are needed to tell which"
