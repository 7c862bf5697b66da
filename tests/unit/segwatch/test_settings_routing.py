"""Rule sets in settings are those of the listener, and what can fit no series is refused."""

from pathlib import Path

import pytest

from dicom_listener.routing.kernels import KernelClass
from dicom_listener.routing.routing_rules import DEFAULT_RULES, Choose
from segwatch.errors import SettingsError
from segwatch.routing_wiring import make_rule_book
from segwatch.settings import SiteSettings, load_settings
from segwatch.settings_routing import RulesSection


def settings(tmp_path: Path, text: str) -> SiteSettings:
    path = tmp_path / "segwatch.toml"
    path.write_text(f'[site]\nid = "a"\n{text}', encoding="utf-8")
    return load_settings(path, SiteSettings)


def test_the_defaults_of_a_set_are_the_default_rules() -> None:
    assert RulesSection(name="default").rules() == DEFAULT_RULES


def test_without_sets_the_default_rules_hold(tmp_path: Path) -> None:
    assert make_rule_book(settings(tmp_path, "")).for_called("ANY") == DEFAULT_RULES


def test_a_set_of_the_settings(tmp_path: Path) -> None:
    text = '[[routing.rules]]\nname = "research"\nchoose = "all"\nkernel_classes = ["soft"]\nmodalities = ["ct"]\n'
    book = make_rule_book(settings(tmp_path, text))
    rules = book.named("research")
    assert (rules.choose, rules.kernel_classes, rules.modalities) == (Choose.ALL, (KernelClass.SOFT,), ("CT",))
    assert book.named("default") == DEFAULT_RULES


def test_the_opt_out_file_is_taken_from_the_folder_of_the_settings(tmp_path: Path) -> None:
    found = settings(tmp_path, '[routing]\nopt_out_file = "opt-out.txt"\n')
    assert found.routing.opt_out_file == tmp_path / "opt-out.txt"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("minimum_spacing_mm = 3\nmaximum_spacing_mm = 2\n", "minimum_spacing_mm is larger"),
        ('choose = "some"\n', r"routing\.rules\.0\.choose"),
        ('kernel_classes = ["hard"]\n', r"routing\.rules\.0\.kernel_classes"),
        ("minimum_slice = 3\n", "did you mean 'minimum_slices'"),
        ('[[routing.rules]]\nname = "a"\n', "two sets of rules have the same name"),
    ],
)
def test_what_fits_no_series_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        settings(tmp_path, f'[[routing.rules]]\nname = "a"\n{text}')
