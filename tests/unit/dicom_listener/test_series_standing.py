"""What becomes of an instance that comes for a series, given its newest row."""

import pytest

from dicom_listener.series_rows import SeriesRow, SeriesState, Standing, standing, takes


def row(
    state: SeriesState, *, version: int = 3, completed: bool = True, purged: bool = False, decided: bool = False
) -> SeriesRow:
    return SeriesRow(
        series_key="a" * 32,
        version=version,
        study_instance_uid="1.2",
        series_instance_uid="1.2.3",
        calling_ae_title="PACS",
        state=state,
        n_instances=1,
        n_late=0,
        n_conflicts=0,
        bytes=1,
        first_at=0.0,
        last_at=0.0,
        completed_at=1.0 if completed else None,
        purged_at=2.0 if purged else None,
        decided_at=3.0 if decided else None,
        decided_by=None,
        decided_why=None,
    )


@pytest.mark.parametrize(
    ("newest", "expected"),
    [
        (None, (1, Standing.OPEN)),
        (row(SeriesState.RECEIVING, completed=False), (3, Standing.OPEN)),
        (row(SeriesState.COMPLETE), (3, Standing.CLOSED)),
        (row(SeriesState.REJECTED), (3, Standing.DECIDED)),
        (row(SeriesState.REJECTED, completed=False), (3, Standing.OPEN)),
        (row(SeriesState.FORGOTTEN), (3, Standing.DECIDED)),
        (row(SeriesState.FORGOTTEN, completed=False), (3, Standing.DECIDED)),
        *((row(state, purged=True), (4, Standing.OPEN)) for state in SeriesState),
    ],
)
def test_where_a_series_stands(newest: SeriesRow | None, expected: tuple[int, Standing]) -> None:
    assert standing(newest) == expected


def test_a_version_may_be_received_when_it_is_open_or_follows_one_that_was_handed_over() -> None:
    assert takes(None, 1)
    assert takes(row(SeriesState.RECEIVING, completed=False), 3)
    assert takes(row(SeriesState.COMPLETE), 4)
    assert not takes(row(SeriesState.COMPLETE), 3), "a version that was handed over never changes"
    assert not takes(row(SeriesState.REJECTED), 4), "late slices do not undo what a person decided"
    assert not takes(row(SeriesState.FORGOTTEN), 4)
    assert not takes(row(SeriesState.COMPLETE), 5), "no version is left out"
