"""The campaigns of docs/reliability.md: their commands parse, and what they count is kept."""

from pathlib import Path

import pytest

from tcnfast.cli import build_parser

CAMPAIGNS = Path(__file__).parents[1] / "campaigns"

pytestmark = pytest.mark.skipif(not CAMPAIGNS.exists(), reason="the campaigns are not here")


@pytest.fixture(autouse=True)
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(CAMPAIGNS)


def test_commands_parse_and_write_to_places_of_their_own():
    from commands import COMMANDS, out_of, words_of

    parser, outs = build_parser(), set()
    for name in COMMANDS:
        words, again = words_of(name)
        out = out_of(name, "out")
        asked = parser.parse_args([*words, "-o", out, "-q", *again])
        assert asked.out == out, name
        outs.add(out)
    assert len(outs) == len(COMMANDS) >= 25  # two that shared one were compared with each other


def test_a_ledger_goes_on(tmp_path, monkeypatch, capsys):
    import ledger

    monkeypatch.setattr(ledger, "FOLDER", tmp_path)
    for _ in range(2):
        held = ledger.Ledger("kills")
        held.add("scan", kills=3, differ=0)
    assert held.total("kills") == 6 and held.show() == 0
    held.note("scan / no HOME")
    held.fault("scan: differ")
    again = ledger.Ledger("kills")
    assert again.done == ["scan / no HOME"] and again.total("kills") == 6 and again.show() == 1
    held.add("scan", kills=1)  # of another process, as again is
    again.add("merge", kills=2)
    assert again.rows["scan"]["kills"] == 7 and again.total("kills") == 9
    assert ledger.Ledger("kills", anew=True).total("kills") == 0
    assert "1 faults" in capsys.readouterr().out
