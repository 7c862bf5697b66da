"""What a site would do with the series of a folder: the very decisions of the listener, without network and state."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydicom.config import IGNORE
from pydicom.uid import UID

from dicom_listener.routing.best_series import Candidate, choose, merits_of
from dicom_listener.routing.routes import RouteState
from dicom_listener.routing.routing import Reason, decide, overruled_body_part
from dicom_listener.routing.routing_rules import Choose, RoutingRules, RuleBook
from dicom_listener.routing.series_traits import SeriesTraits, traits_of
from dicom_listener.series import series_key
from dicom_listener.spool.instance_head import InstanceHead
from segwatch.errors import UsageError
from segwatch.folder_files import UnusableFile, read_folder
from segwatch.opt_out import OptOutCheck


@dataclass(frozen=True, slots=True)
class FolderSeries:
    """What would become of one series; no identifier but its key, and what the name of its file may hold."""

    key: str
    study: int
    """Number of its study in the folder, from 1."""
    kind: str
    """Names of its SOP classes in the standard."""
    first_file: str
    """Path of its first file within the folder, in printable characters."""
    rules: str
    traits: SeriesTraits
    state: RouteState
    """`TAKEN`, `NOT_TAKEN`, `PASSED_OVER` or `OPTED_OUT`."""
    reasons: tuple[Reason, ...]
    overruled: str | None = None
    """Which rule let it pass although its body part would have left it out."""


@dataclass(frozen=True, slots=True)
class FolderRoutes:
    """What would become of everything in a folder."""

    series: tuple[FolderSeries, ...]
    """By study, the series that are taken first."""
    unusable: tuple[UnusableFile, ...]
    """Files that tell nothing about any series, by path."""


def folder_routes(directory: Path, book: RuleBook, opt_out: OptOutCheck, *, rules: str | None = None) -> FolderRoutes:
    """Decide about every series below a folder.

    Args:
        directory: any mixture of files and series.
        book: the rule sets; the called AE title that a spooled file names selects one, as in the listener.
        opt_out: the check against the opt-out list.
        rules: use this rule set for everything.

    Raises:
        NoInstancesError: there is no such folder, or no DICOM in it.
        UsageError: there is no such rule set.
        RoutingError: the opt-out list cannot be read.
    """
    if rules is not None and book.named(rules).name != rules:
        names = ", ".join(sorted({"default", *(one.name for one in book.rule_sets)}))
        raise UsageError(f"--rules {rules}: there is no such set of rules; known are {names}")
    files = read_folder(directory)
    studies = {study: number for number, study in enumerate(dict.fromkeys(study for study, _ in files.series), start=1)}
    decided: list[tuple[FolderSeries, RoutingRules]] = []
    for (study, series), group in files.series.items():
        heads = list(group.heads.values())
        traits = traits_of(heads)
        mine = book.named(rules) if rules is not None else book.for_called(traits.called_ae_title)
        state, reasons = _alone(heads, traits, mine, opt_out)
        found = FolderSeries(
            key=series_key(study, series),
            study=studies[study],
            kind=", ".join(_class_name(uid) for uid in traits.sop_classes),
            first_file=group.first_file,
            rules=mine.name,
            traits=traits,
            state=state,
            reasons=reasons,
            overruled=overruled_body_part(traits, mine) if state is RouteState.TAKEN else None,
        )
        decided.append((found, mine))
    ordered = sorted(_chosen(decided), key=lambda s: (s.study, s.state is not RouteState.TAKEN, s.key))
    return FolderRoutes(tuple(ordered), tuple(sorted(files.unusable, key=lambda file: file.name)))


def _class_name(uid: str) -> str:
    """The standard's name; a UID that is not the standard's may be anything, and is not quoted."""
    name = UID(uid, validation_mode=IGNORE).name
    return "unknown SOP class" if name == uid else name


def _alone(
    heads: Sequence[InstanceHead], traits: SeriesTraits, rules: RoutingRules, opt_out: OptOutCheck
) -> tuple[RouteState, tuple[Reason, ...]]:
    """Decide about a series without looking at the others of its study."""
    opted_out = opt_out(heads)
    if opted_out is not None:
        return RouteState.OPTED_OUT, (opted_out,)
    decision = decide(traits, rules)
    return (RouteState.TAKEN if decision.taken else RouteState.NOT_TAKEN), decision.reasons


def _chosen(decided: Sequence[tuple[FolderSeries, RoutingRules]]) -> list[FolderSeries]:
    """Choose among the eligible series of each study."""
    eligible: dict[tuple[int, str], list[tuple[FolderSeries, RoutingRules]]] = defaultdict(list)
    for series, rules in decided:
        if series.state is RouteState.TAKEN and rules.choose is Choose.BEST:
            eligible[series.study, rules.name].append((series, rules))
    choices = {
        choice.candidate.key: choice
        for of_study in eligible.values()
        for choice in choose([Candidate(s.key, 1, merits_of(s.traits)) for s, _ in of_study], (), of_study[0][1])
    }
    return [
        replace(
            series,
            state=RouteState.TAKEN if choice.taken else RouteState.PASSED_OVER,
            reasons=(choice.reason,),
        )
        if (choice := choices.get(series.key)) is not None
        else series
        for series, _ in decided
    ]
