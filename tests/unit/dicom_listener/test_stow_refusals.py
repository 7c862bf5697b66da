"""Which requests are refused as a whole, before or while their bodies come in: over ASGI without a network."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dicom_listener.stow.settings import StowLimits
from dicom_listener.stow.tokens import new_token, token_line
from tests.unit.dicom_listener.instances import STUDY, uid
from tests.unit.dicom_listener.stow_pushing import BOUNDARY, MULTIPART, Pusher, multipart, part10, reasons, uids


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "multipart/form-data; boundary=x",
        f'multipart/related; type="application/dicom+json"; boundary={BOUNDARY}',
    ],
)
def test_other_media_types_are_refused(pusher: Pusher, content_type: str) -> None:
    assert pusher.post(multipart(part10(1)), Content_Type=content_type).status_code == 415


def test_parts_of_another_type_or_encoding_are_refused(pusher: Pusher) -> None:
    for head in ("Content-Type: image/jpeg\r\n", "Content-Transfer-Encoding: base64\r\n"):
        assert pusher.post(multipart(part10(1), head=head)).status_code == 415
    assert pusher.post(multipart(part10(1)), Content_Encoding="gzip").status_code == 415
    assert pusher.post(multipart(part10(1), head="")).status_code == 200


@pytest.mark.parametrize("boundary", ["", "x" * 201, '"a\tb"'])
def test_a_boundary_that_is_none_is_refused(pusher: Pusher, boundary: str) -> None:
    content_type = f'multipart/related; type="application/dicom"; boundary={boundary}'
    assert pusher.post(multipart(part10(1)), Content_Type=content_type).status_code == 400


@pytest.mark.parametrize("cut", [5, 60, 200, 600])
def test_a_body_that_is_cut_off_is_no_success_and_leaves_no_half_instance(pusher: Pusher, cut: int) -> None:
    whole = multipart(part10(1), part10(2))
    response = pusher.post(whole[:-cut])

    assert response.status_code == 400
    assert set(pusher.files()) <= {uid(1)}
    assert pusher.is_tidy()


@pytest.mark.parametrize("body", [b"", b"\r\n", b"--other\r\n", multipart(), b"x" * 1000])
def test_a_body_without_parts_is_malformed(pusher: Pusher, body: bytes) -> None:
    assert pusher.post(body).status_code == 400


def test_limits_of_a_request(pushers: Callable[..., Pusher]) -> None:
    body = multipart(part10(1), part10(2), part10(3))
    for limits in (
        StowLimits(maximum_request_bytes=len(body) - 1),
        StowLimits(maximum_instances=2),
        StowLimits(maximum_instance_bytes=len(part10(1)) - 1),
    ):
        pusher = pushers(limits)
        assert pusher.post(body).status_code == 413
        assert pusher.post([body[:300], body[300:]]).status_code == 413
        assert pusher.is_tidy()
    enough = StowLimits(maximum_request_bytes=len(body), maximum_instances=3, maximum_instance_bytes=len(part10(1)))
    assert pushers(enough).post(body).status_code == 200


def test_headers_of_a_part_are_limited(pusher: Pusher) -> None:
    for head in ("X: y\r\n" * 17, f"X: {'y' * 1024}\r\n"):
        assert pusher.post(multipart(part10(1), head=head)).status_code == 400


def test_a_length_is_asked_for(pusher: Pusher) -> None:
    headers = {"Content-Type": MULTIPART}
    assert pusher.send("POST", "/studies", b"", {**headers, "Content-Length": "many"}).status_code == 411
    assert pusher.send("POST", "/studies", b"", {**headers, "Content-Length": "9" * 5000}).status_code == 413


def test_a_full_spool_asks_to_come_again_before_the_body_is_read(pushers: Callable[..., Pusher]) -> None:
    response = pushers(watermark=0.0).post(multipart(part10(1)))

    assert response.status_code == 503
    assert int(response.headers["retry-after"]) > 0


def test_a_spool_that_fills_up_meanwhile_is_told_by_instance(pusher: Pusher, monkeypatch: pytest.MonkeyPatch) -> None:
    refusals = iter([None, None, "full", "full"])
    monkeypatch.setattr(pusher.spool._room, "_refusal", lambda _share, _free: next(refusals))
    response = pusher.post(multipart(part10(1), part10(2), part10(3)))

    assert response.status_code == 202
    assert uids(response) == [uid(1)]
    assert reasons(response) == [0xA700, 0xA700]


def test_only_ours_failing_asks_to_come_again(pusher: Pusher, monkeypatch: pytest.MonkeyPatch) -> None:
    refusals = iter([None, "full"])
    monkeypatch.setattr(pusher.spool._room, "_refusal", lambda _share, _free: next(refusals))
    response = pusher.post(multipart(part10(1)))

    assert (response.status_code, reasons(response)) == (503, [0xA700])
    assert "retry-after" in response.headers


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/studies", 405), ("PUT", f"/studies/{STUDY}", 405), ("POST", "/", 404), ("POST", "/studies/", 404)],
)
def test_nothing_else_is_served(pusher: Pusher, method: str, path: str, status: int) -> None:
    assert pusher.send(method, path, b"", {"Content-Type": MULTIPART, "Content-Length": "0"}).status_code == status


def test_a_token_is_needed_where_tokens_are_set(pushers: Callable[..., Pusher], tmp_path: Path) -> None:
    token = new_token()
    tokens = tmp_path / "tokens"
    tokens.write_text(f"# of the PACS\n\n{token_line('PACS-7', token)}")
    pusher = pushers(tokens=tokens)

    for headers in ({}, {"Authorization": f"Bearer {new_token()}"}, {"Authorization": f"Basic {token}"}):
        response = pusher.post(multipart(part10(1)), **headers)
        assert response.status_code == 401
        assert response.headers["www-authenticate"].startswith("Bearer")
    assert pusher.stored == []
    assert pusher.post(multipart(part10(1)), Authorization=f"Bearer {token}").status_code == 200
    assert [stored.calling_ae_title for stored in pusher.stored] == ["PACS-7"]
    assert [report.calling_ae_title for report in pusher.reports] == ["", "", "", "PACS-7"]

    tokens.write_text(token_line("PACS-8", new_token()))
    assert pusher.post(multipart(part10(1)), Authorization=f"Bearer {token}").status_code == 401
    tokens.write_text("nonsense")
    assert pusher.post(multipart(part10(1)), Authorization=f"Bearer {token}").status_code == 401


def test_an_error_of_ours_is_told_without_a_traceback(
    pusher: Pusher, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_arguments: object) -> None:
        raise RuntimeError(f"about {STUDY}")

    monkeypatch.setattr("dicom_listener.stow.app.http_status", fail)
    response = pusher.post(multipart(part10(1)))

    assert response.status_code == 500
    assert "RuntimeError" not in response.text
    assert STUDY not in caplog.text
    assert list(pusher.files()) == [uid(1)]
