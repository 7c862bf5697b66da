"""Mistakes of users and administrators: each is answered by a sentence, none by a traceback."""

import json
import shutil
import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from qc.detector import reference_detector_path
from tests.acceptance.hosts import TRACEBACK, Central, Site, edit_settings, is_one_sentence
from tests.peers.cli import SegwatchCli
from tests.peers.processes import ServerProcess

pytestmark = pytest.mark.slow

NO_PACS = "no result goes to any PACS: the settings have no [[destinations]]"
GPU_ALONE = ["CUDAExecutionProvider"]
GPU_OR_CPU = ["CUDAExecutionProvider", "CPUExecutionProvider"]


def ended(process: ServerProcess) -> tuple[int, str]:
    """Exit status and output of a host that cannot run."""
    status = process.wait(120)
    return status, process.output()


@pytest.mark.parametrize("command", ["site", "status", "doctor"])
def test_an_unknown_key_is_refused_with_the_nearest_right_one(command: str, make_site: Callable[..., Site]) -> None:
    site = make_site("clinic")
    text = site.settings.read_text()
    site.settings.write_text(text.replace("quiet_seconds = 2.0", "quiet_secnds = 2.0"))
    done = site.cli(command, "-c", site.settings)
    assert done.returncode == 1
    assert "listener.quiet_secnds: unknown key; did you mean 'quiet_seconds'?" in done.stderr
    assert TRACEBACK not in done.stderr


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('[site]\nid = "a"\n[listener]\nport = "x"\n', "listener.port: "),
        ('[site]\nid = "Clinic A"\n', "site.id: "),
        ("[site]\nid = = 3\n", "not valid TOML"),
        ("[listener]\nport = 104\n", "site: "),
        (None, "`segwatch init site` writes one"),
    ],
)
def test_settings_that_cannot_be_used(content: str | None, expected: str, segwatch_cli: SegwatchCli) -> None:
    file = segwatch_cli.folder / "segwatch.toml"
    if content is not None:
        file.write_text(content)
    done = segwatch_cli("site")
    assert done.returncode == 1
    assert done.stderr.startswith("segwatch: segwatch.toml:")
    assert expected in done.stderr
    assert TRACEBACK not in done.stderr


def test_a_missing_or_short_secret(make_site: Callable[..., Site]) -> None:
    site = make_site("clinic")
    key = site.folder / "site.key"
    key.write_text("too short")
    short = site.cli("site", "-c", site.settings)
    key.unlink()
    missing = site.cli("site", "-c", site.settings)
    for done in (short, missing):
        assert done.returncode == 1
        assert is_one_sentence(done.stderr), done.stderr
        assert "site.key" in done.stderr
    assert "too short" not in short.stderr


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("nonsense", "database URL"),
        ("oracle://somewhere", "database URL"),
        ("postgresql+pg8000://me:word@127.0.0.1:1/none", "does not answer"),
        ("sqlite:////proc/none/state.sqlite", "/proc/none"),
        ("sqlite:////tmp", "does not answer"),
    ],
)
def test_a_database_that_cannot_be_opened(url: str, expected: str, make_site: Callable[..., Site]) -> None:
    site = make_site("clinic", {"state.url": url})
    for command in ("site", "status"):
        done = site.cli(command, "-c", site.settings)
        assert done.returncode == 1
        assert is_one_sentence(done.stderr), done.stderr
        assert expected in done.stderr
        assert "word" not in done.stderr


def test_central_with_a_database_that_cannot_be_opened(make_central: Callable[..., Central]) -> None:
    central = make_central({"store.url": "sqlite:///missing-folder/central.sqlite"})
    done = central.cli("central", "-c", central.settings)
    assert done.returncode == 1
    assert is_one_sentence(done.stderr), done.stderr


@pytest.mark.parametrize("command", ["listen", "deliver"])
def test_a_part_without_destinations_says_that_no_pacs_gets_results(
    command: str, make_site: Callable[..., Site]
) -> None:
    site = make_site("clinic", {"state.url": "nonsense"})  # ends it at once
    done = site.cli(command, "-c", site.settings)
    assert "WARNING" in done.stderr
    assert done.stderr.count(NO_PACS) == 1
    supervised = site.cli(command, "-c", site.settings, "--stop-at-eof")
    assert NO_PACS not in supervised.stderr


def test_a_port_in_use_ends_the_site(make_site: Callable[..., Site], quick_model: str) -> None:
    site = make_site("clinic", {"model.manifest": quick_model})
    with closing(socket.create_server(("127.0.0.1", site.port))):
        findings = json.loads(site.cli("doctor", "-c", site.settings, "--json").stdout)
        status, output = ended(site.launch())
    assert status == 1
    assert f"segwatch: cannot listen on 127.0.0.1:{site.port}: Address already in use" in output
    assert output.count(NO_PACS) == 1
    assert TRACEBACK not in output
    (port,) = [finding for finding in findings if finding["check"] == "port"]
    assert not port["ok"]
    assert str(site.port) in port["detail"]


@pytest.mark.parametrize("command", ["site", "process", "doctor"])
def test_a_model_that_was_altered_is_not_run(
    command: str, make_site: Callable[..., Site], quick_model: str, write_series: Callable[..., list[Path]]
) -> None:
    site = make_site("clinic")
    folder = shutil.copytree(Path(quick_model).parent, site.folder / "model")
    edit_settings(site.settings, {"model.manifest": "model/tiny.json"})
    content = bytearray((folder / "tiny.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "tiny.onnx").write_bytes(content)
    arguments = {"process": ("process", write_series(1)[0].parent, "--out", site.folder / "out")}
    done = site.cli(*arguments.get(command, (command,)), "-c", site.settings)
    assert done.returncode == 1
    assert "SHA-256" in done.stdout + done.stderr
    assert str(folder / "tiny.onnx") in done.stdout + done.stderr
    assert TRACEBACK not in done.stderr
    assert not list((site.folder / "out").glob("*"))


def test_a_gpu_that_is_not_there_is_an_error_unless_the_cpu_is_listed(
    make_site: Callable[..., Site], quick_model: str, write_series: Callable[..., list[Path]]
) -> None:
    site = make_site("clinic", {"model.manifest": quick_model, "model.providers": GPU_ALONE})
    ct = write_series(1)[0].parent
    alone = site.cli("process", ct, "--out", "out", "-c", site.settings)
    if alone.returncode == 0:
        pytest.skip("this machine has a GPU that ONNX Runtime can use")
    assert alone.returncode == 1
    assert is_one_sentence(alone.stderr), alone.stderr
    assert "CUDAExecutionProvider did not start" in alone.stderr
    status, output = ended(site.launch())
    assert status == 1
    assert "CUDAExecutionProvider did not start" in output
    assert TRACEBACK not in output

    edit_settings(site.settings, {"model.providers": GPU_OR_CPU})
    either = site.cli("process", ct, "--out", "out", "-c", site.settings)
    assert either.returncode == 0, either.stderr


def test_a_detector_that_was_fitted_on_other_metrics(
    make_central: Callable[..., Central], write_series: Callable[..., list[Path]], segwatch_cli: SegwatchCli
) -> None:
    detector = json.loads(reference_detector_path().read_bytes())
    detector["metric_set"]["version"] = 2
    file = segwatch_cli.folder / "detector.json"
    file.write_text(json.dumps(detector))
    central = make_central({"detector.file": str(file)})
    ct = write_series(1)[0].parent
    for done in (
        segwatch_cli("central", "-c", central.settings),
        segwatch_cli("process", ct, "--out", "out", "--detector", file),
    ):
        assert done.returncode == 1
        assert is_one_sentence(done.stderr), done.stderr
        assert str(file) in done.stderr


@pytest.mark.parametrize(
    "to", ["SEGWATCH", "SEGWATCH@127.0.0.1", "@127.0.0.1:104", "A@h:0", "A@h:70000", "A" * 17 + "@h:1"]
)
def test_an_address_that_is_none(to: str, segwatch_cli: SegwatchCli, write_series: Callable[..., list[Path]]) -> None:
    done = segwatch_cli("send", write_series(1)[0].parent, "--to", to)
    assert done.returncode == 1
    assert is_one_sentence(done.stderr), done.stderr
    assert "AET@HOST:PORT" in done.stderr


def test_nobody_at_an_address(
    segwatch_cli: SegwatchCli, write_series: Callable[..., list[Path]], free_port: Callable[[], int]
) -> None:
    port = free_port()
    done = segwatch_cli("send", write_series(1)[0].parent, "--to", f"PACS@127.0.0.1:{port}")
    assert done.returncode == 1
    assert "stored 0, failed 24" in done.stdout
    assert f"PACS@127.0.0.1:{port} is unreachable" in done.stdout
    assert done.stderr == ""
