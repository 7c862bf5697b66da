"""Tokens, names of clients, settings that are refused, and heads of Part 10 files however careless their writer."""

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_listener.errors import StowSettingsError, UnreadableInstanceError
from dicom_listener.stow.gate import ae_title, common_name
from dicom_listener.stow.part_head import HEAD_LIMIT, PartHead, read_part_head
from dicom_listener.stow.settings import StowSettings
from dicom_listener.stow.tokens import TokenFile, bearer_token, find_name, new_token, parse_tokens, token_line
from tests.unit.dicom_listener.instances import EXPLICIT_LITTLE, request
from tests.unit.dicom_listener.stow_pushing import part10

PREFIX = bytes(128) + b"DICM"


def element(number: int, vr: bytes, value: bytes, group: int = 2) -> bytes:
    return struct.pack("<HH2sH", group, number, vr, len(value)) + value


META = (
    element(0x0002, b"UI", b"1.2.840.10008.5.1.4.1.1.2\0")
    + element(0x0003, b"UI", b"1.2.3.4\0")
    + element(0x0010, b"UI", b"1.2.840.10008.1.2.1\0")
)
DATA = element(0x0016, b"UI", b"1.2.840.10008.5.1.4.1.1.2\0", group=8)


def test_the_head_of_a_file() -> None:
    head = read_part_head(part10(1), whole=False)

    assert head is not None
    wanted = request(1)
    assert (head.sop_class_uid, head.sop_instance_uid) == (wanted.sop_class_uid, wanted.sop_instance_uid)
    assert head.transfer_syntax_uid == EXPLICIT_LITTLE
    assert part10(1)[head.data_set_offset :][:4] == b"\x08\x00\x16\x00"


@pytest.mark.parametrize(
    "start",
    [
        PREFIX + META,
        PREFIX + element(0x0000, b"UL", b"\xff\xff\xff\xff") + META,
        PREFIX + element(0x0000, b"UL", b"\1\0\0\0") + META,
        b"DICM" + META,
        element(0x0000, b"UL", b"\1\0\0\0") + META,
        META,
        PREFIX + META + struct.pack("<HH2sHL", 2, 0x0102, b"OB", 0, 3) + b"\1\2\3",
        b"anything but zero".ljust(128) + b"DICM" + META,
    ],
    ids=[
        "no group length",
        "too long",
        "too short",
        "no preamble",
        "no prefix",
        "neither nor length",
        "private",
        "preamble",
    ],
)
def test_careless_heads_are_read(start: bytes) -> None:
    head = read_part_head(start + DATA + bytes(128), whole=True)

    assert head == PartHead("1.2.840.10008.5.1.4.1.1.2", "1.2.3.4", "1.2.840.10008.1.2.1", len(start))


@given(cut=st.integers(0, len(part10(1)) - 1))
def test_more_is_asked_for_until_the_head_is_whole(cut: int) -> None:
    whole = read_part_head(part10(1), whole=True)
    assert whole is not None
    part = read_part_head(part10(1)[:cut], whole=False)
    assert part == (whole if cut >= whole.data_set_offset + 2 else None)


@given(noise=st.binary(max_size=400))
def test_noise_is_a_named_error_or_a_head(noise: bytes) -> None:
    try:
        head = read_part_head(PREFIX + noise, whole=True)
    except UnreadableInstanceError:
        return
    assert head is not None
    assert head.data_set_offset <= len(PREFIX + noise)


def test_a_head_without_end_is_refused() -> None:
    announced = PREFIX + struct.pack("<HH2sHL", 2, 0x0102, b"OB", 0, 2**31)
    endless = PREFIX + element(0x0016, b"AE", b"A" * 1000) * (HEAD_LIMIT // 1000)
    for start in (announced, endless):
        with pytest.raises(UnreadableInstanceError, match="does not end"):
            read_part_head(start, whole=False)


def test_tokens_are_found_by_their_hash_alone() -> None:
    first, second = new_token(), new_token()
    text = f"# clients\n{token_line('PACS', first)}\n  {token_line('RESEARCH', second)}"
    tokens = parse_tokens(text, "tokens")

    assert first not in text
    assert (find_name(tokens, first), find_name(tokens, second)) == ("PACS", "RESEARCH")
    assert find_name(tokens, new_token()) is None
    assert find_name(tokens, "") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no token in it"),
        ("# nothing", "no token in it"),
        ("PACS", "line 1"),
        (f"{token_line('PACS', 'x')}A/B {'0' * 64}", "line 2"),
        (f"{'A' * 17} {'0' * 64}", "line 1"),
        (f"PACS {'0' * 63}", "line 1"),
    ],
)
def test_a_file_that_holds_something_else_is_refused(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "tokens"
    file.write_text(text)
    with pytest.raises(StowSettingsError, match=said):
        TokenFile(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StowSettingsError, match=r"tokens_file.*No such file"):
        TokenFile(tmp_path / "tokens")


@pytest.mark.parametrize(
    ("header", "token"),
    [("Bearer abc", "abc"), ("bearer  abc= ", "abc="), ("Basic abc", None), ("Bearer", None), ("Bearer a b", None)],
)
def test_the_header_of_a_token(header: str, token: str | None) -> None:
    assert bearer_token(header) == token


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("PACS", "PACS"),
        ("a-long-host.hospital.example", "a-long-host.hosp"),
        ("Zürich\\1\n", "Z_rich_1_"),
        ("", "STOW-RS"),
    ],
)
def test_a_certificate_names_an_ae_title(name: str, title: str) -> None:
    assert ae_title(name) == title


def test_the_common_name_of_a_certificate() -> None:
    certificate = {"subject": ((("organizationName", "Clinic"),), (("commonName", "pacs-1"),))}
    assert common_name(certificate) == "pacs-1"
    assert common_name({}) == ""


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (StowSettings(host="0.0.0.0"), "tokens_file"),  # noqa: S104 (what is refused)
        (StowSettings(host="pacs.example"), "trusted"),
        (StowSettings(certificate=Path("c")), "both"),
        (StowSettings(trusted=Path("c")), "certificate"),
    ],
)
def test_settings_that_would_let_anybody_in_are_refused(settings: StowSettings, said: str) -> None:
    with pytest.raises(StowSettingsError, match=said):
        settings.check()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_needs_no_authentication(host: str) -> None:
    StowSettings(host=host).check()
