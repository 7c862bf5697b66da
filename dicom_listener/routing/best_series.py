"""Which of several eligible series of a study is the best? A total order over what is known of them; pure."""

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass

from dicom_listener.routing.kernels import KernelClass
from dicom_listener.routing.routing import Reason
from dicom_listener.routing.routing_rules import RoutingRules
from dicom_listener.routing.series_traits import SeriesTraits

WHOLE_CHEST_MM = 200.0
"""A stack of this length may hold whole lungs; one that is shorter, e.g. the slab of a lung biopsy, comes after it."""


@dataclass(frozen=True, slots=True)
class Merits:
    """What counts when series of a study are compared."""

    is_regular: bool
    length_mm: float
    thickness_mm: float | None
    """The larger of Slice Thickness and spacing."""
    kernel: KernelClass
    n_slices: int
    pixel_spacing_mm: float | None
    series_number: int | None


@dataclass(frozen=True, slots=True)
class Candidate:
    """One version of one series that rules take by themselves."""

    key: str
    version: int
    merits: Merits


@dataclass(frozen=True, slots=True)
class Choice:
    """What becomes of a candidate."""

    candidate: Candidate
    taken: bool
    reason: Reason
    place: int
    """1 for the best of those that were chosen among; a series that is passed over waits in this order."""


def merits_of(traits: SeriesTraits) -> Merits:
    """Take from the traits what counts."""
    return Merits(
        is_regular=traits.is_regular,
        length_mm=traits.length_mm,
        thickness_mm=traits.effective_thickness_mm,
        kernel=traits.kernel_class,
        n_slices=traits.n_positions,
        pixel_spacing_mm=traits.pixel_spacing_mm,
        series_number=traits.series_number,
    )


def merits_to_text(merits: Merits) -> str:
    """Encode for a row."""
    return json.dumps(asdict(merits))


def merits_from_text(text: str) -> Merits:
    """Decode what `merits_to_text` wrote."""
    values = json.loads(text)
    return Merits(**{**values, "kernel": KernelClass(values["kernel"])})


_Criterion = tuple[Callable[[Candidate, RoutingRules], float | str], str]

_CRITERIA: tuple[_Criterion, ...] = (
    # smaller is better; the words say what the better one has
    (lambda c, _: not c.merits.is_regular, "it has no gaps, double positions or tilt"),
    (lambda c, _: not c.merits.length_mm >= WHOLE_CHEST_MM, f"it is {WHOLE_CHEST_MM:g} mm or longer"),
    (lambda c, r: max(_or_infinite(c.merits.thickness_mm), r.thin_mm), "its slices are thinner"),
    (lambda c, r: _preference(c.merits.kernel, r), "its kernel is preferred"),
    (lambda c, _: -c.merits.n_slices, "it has more slices"),
    (lambda c, _: _or_infinite(c.merits.thickness_mm), "its slices are thinner"),
    (lambda c, _: _or_infinite(c.merits.pixel_spacing_mm), "its pixels are finer"),
    (lambda c, _: _or_infinite(c.merits.series_number), "its series number is lower"),
    (lambda c, _: c.key, "nothing tells them apart, and its key comes first"),
    (lambda c, _: -c.version, "it is the newer version"),
)


def order(candidate: Candidate, rules: RoutingRules) -> tuple[float | str, ...]:
    """Sort key: the best series comes first. Total: only one version of one series is equal to itself."""
    return tuple(value(candidate, rules) for value, _ in _CRITERIA)


def why_better(better: Candidate, other: Candidate, rules: RoutingRules) -> str:
    """Say by the first difference why one candidate comes before another."""
    pairs = zip(order(better, rules), order(other, rules), _CRITERIA, strict=True)
    return next((words for one, another, (_, words) in pairs if one != another), "they are the same")


def choose(waiting: Iterable[Candidate], taken: Iterable[Candidate], rules: RoutingRules) -> tuple[Choice, ...]:
    """Choose among the eligible series of one study that is quiet.

    Args:
        waiting: eligible versions that are not decided yet; of one series the newest counts.
        taken: versions that were taken before, without those that could not be segmented.
        rules: what is preferred.

    Returns:
        One choice for each of `waiting`, best first. A new version of a series that was taken replaces it and is always
        taken. Otherwise one is taken at most, and only when it is better than all that were taken before: results that
        a PACS has cannot be called back, so a better series that comes later is taken besides.
    """
    ordered = sorted(set(waiting), key=lambda candidate: order(candidate, rules))
    newest = _newest(ordered)
    before = {candidate.key: candidate for candidate in sorted(taken, key=lambda c: c.version)}
    replacing = {c.key: c for c in ordered if c.key in before and newest[c.key] == c.version}
    rivals = sorted({**before, **replacing}.values(), key=lambda candidate: order(candidate, rules))
    free = [c for c in ordered if c.key not in before and newest[c.key] == c.version]
    if free and not (rivals and order(rivals[0], rules) < order(free[0], rules)):
        winner, is_better_than = free[0], rivals[:1] or free[1:2]
    else:
        winner, is_better_than = None, []
    best = winner or (rivals[0] if rivals else None)
    choices = []
    for place, candidate in enumerate(ordered, start=1):
        if newest[candidate.key] != candidate.version:
            reason = Reason("superseded", f"version {newest[candidate.key]} of the series is complete")
        elif candidate.key in replacing:
            reason = Reason("new_version", "a new version of a series that was taken before")
        elif candidate is winner:
            reason = _won(winner, is_better_than, is_late=bool(rivals), rules=rules)
        else:
            assert best is not None  # noqa: S101 (somebody won, or was taken before)
            detail = f"series {best.key[:12]} of the study is taken: {why_better(best, candidate, rules)}"
            reason = Reason("better_series", detail)
        taken_now = candidate is winner or replacing.get(candidate.key) is candidate
        choices.append(Choice(candidate, taken_now, reason, place))
    return tuple(choices)


def _won(winner: Candidate, others: Sequence[Candidate], *, is_late: bool, rules: RoutingRules) -> Reason:
    if not others:
        return Reason("only_series", "the only eligible series of the study")
    why = why_better(winner, others[0], rules)
    if is_late:
        return Reason("later_series", f"better than series {others[0].key[:12]}, which was taken before it came: {why}")
    return Reason("best_series", f"better than series {others[0].key[:12]}: {why}")


def _newest(candidates: Iterable[Candidate]) -> dict[str, int]:
    newest: dict[str, int] = {}
    for candidate in candidates:
        newest[candidate.key] = max(candidate.version, newest.get(candidate.key, 0))
    return newest


def _preference(kernel: KernelClass, rules: RoutingRules) -> int:
    preferred = rules.preferred_kernels
    return preferred.index(kernel) if kernel in preferred else len(preferred)


def _or_infinite(value: float | None) -> float:
    return math.inf if value is None else value
