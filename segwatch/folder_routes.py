"""What a site would do with the series of a folder: the very decisions of the listener, without network and state."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dicom_listener.errors import UnreadableInstanceError
from dicom_listener.routing.best_series import Candidate, choose, merits_of
from dicom_listener.routing.routes import RouteState
from dicom_listener.routing.routing import Reason, decide
from dicom_listener.routing.routing_rules import Choose, RoutingRules, RuleBook
from dicom_listener.routing.series_traits import SeriesTraits, traits_of
from dicom_listener.series import series_key
from dicom_listener.spool.heads import read_head
from dicom_listener.spool.instance_head import InstanceHead
from inference.errors import NoInstancesError
from segwatch.errors import UsageError
from segwatch.opt_out import OptOutCheck

MEDIA_STORAGE_DIRECTORY = "1.2.840.10008.1.3.10"


@dataclass(frozen=True, slots=True)
class FolderSeries:
    """What would become of one series; no identifier but its key."""

    key: str
    study: int
    """Number of its study in the folder, from 1."""
    rules: str
    traits: SeriesTraits
    state: RouteState
    """`TAKEN`, `NOT_TAKEN`, `PASSED_OVER` or `OPTED_OUT`."""
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class FolderRoutes:
    """What would become of everything in a folder."""

    series: tuple[FolderSeries, ...]
    """By study, the series that are taken first."""
    n_refused: int
    """DICOM files that name no instance, study or series: the listener refuses them (A900 or C000)."""
    n_other: int
    """Files that are no DICOM Part 10 files, and DICOMDIRs."""


def folder_routes(directory: Path, book: RuleBook, opt_out: OptOutCheck, *, rules: str | None = None) -> FolderRoutes:
    """Decide about every series below a folder.

    Args:
        directory: any mixture of files and series.
        book: the rule sets; the called AE title that a spooled file names selects one, as in the listener.
        opt_out: the check against the opt-out list.
        rules: use this rule set for everything.

    Raises:
        NoInstancesError: there is no such folder, or no DICOM in it.
        UsageError: there is no such rule set, or a file cannot be read.
        RoutingError: the opt-out list cannot be read.
    """
    if rules is not None and book.named(rules).name != rules:
        names = ", ".join(sorted({"default", *(one.name for one in book.rule_sets)}))
        raise UsageError(f"--rules {rules}: there is no such set of rules; known are {names}")
    groups, n_refused, n_other = _groups(directory)
    studies = {study: number for number, study in enumerate(dict.fromkeys(study for study, _ in groups), start=1)}
    decided: list[tuple[FolderSeries, RoutingRules]] = []
    for (study, series), instances in groups.items():
        heads = list(instances.values())
        traits = traits_of(heads)
        mine = book.named(rules) if rules is not None else book.for_called(traits.called_ae_title)
        state, reasons = _alone(heads, traits, mine, opt_out)
        found = FolderSeries(series_key(study, series), studies[study], mine.name, traits, state, reasons)
        decided.append((found, mine))
    ordered = sorted(_chosen(decided), key=lambda s: (s.study, s.state is not RouteState.TAKEN, s.key))
    return FolderRoutes(tuple(ordered), n_refused, n_other)


def _groups(directory: Path) -> tuple[dict[tuple[str, str], dict[str, InstanceHead]], int, int]:
    """Heads by study and series and, as in the spool, one of each instance; and how many files are refused, are other.

    Raises:
        NoInstancesError: there is no such folder, or no DICOM in it.
        UsageError: a file cannot be read.
    """
    if not directory.is_dir():
        what = "is a file; name its folder" if directory.exists() else "does not exist"
        raise NoInstancesError(f"{directory} {what}")
    groups: dict[tuple[str, str], dict[str, InstanceHead]] = defaultdict(dict)
    n_refused = n_other = 0
    for path in sorted(path for path in directory.rglob("*") if path.is_file()):
        try:
            head = read_head(path)
        except UnreadableInstanceError:
            n_other += 1
            continue
        except OSError as error:
            # file names often hold UIDs or patient names: the folder alone is named
            raise UsageError(
                f"a file in {directory} cannot be read: {error.strerror or type(error).__name__}"
            ) from error
        if head.sop_class_uid == MEDIA_STORAGE_DIRECTORY:
            n_other += 1
        elif not (head.sop_instance_uid and head.study_instance_uid and head.series_instance_uid):
            n_refused += 1
        else:
            groups[head.study_instance_uid, head.series_instance_uid].setdefault(head.sop_instance_uid, head)
    if not groups and not n_refused:
        raise NoInstancesError(f"{directory} holds no DICOM instance (files in DICOM Part 10 format are looked for)")
    return groups, n_refused, n_other


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
        FolderSeries(
            key=series.key,
            study=series.study,
            rules=series.rules,
            traits=series.traits,
            state=RouteState.TAKEN if choice.taken else RouteState.PASSED_OVER,
            reasons=(choice.reason,),
        )
        if (choice := choices.get(series.key)) is not None
        else series
        for series, _ in decided
    ]
