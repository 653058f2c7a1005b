"""Headers: what is not the format is refused, whatever it is."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warehouse.sources.record import REASONS, BadRecord
from warehouse.sources.wfdb_header import LARGEST_BYTES, Segments, parse, parse_header

LINE = "r.dat 16 1000(0)/mV 16 0 -1 49162 0 I"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "bad_header"),
        ("# only a comment", "bad_header"),
        ("r 0 100 1000", "bad_header"),
        (f"r 2 100 1000\n{LINE}", "bad_header"),
        (f"r 1 100 1000\n{LINE}\n{LINE}", "bad_header"),
        (f"r/3 1 100 1000\n{LINE}", "several_segments"),
        (f"r/1 1 100 1000\n{LINE}", "several_segments"),
        (f"r 1 0 1000\n{LINE}", "bad_header"),
        (f"r 1 -100 1000\n{LINE}", "bad_header"),
        (f"r 1 100Hz 1000\n{LINE}", "bad_header"),
        (f"r 1 1e9 1000\n{LINE}", "bad_header"),
        (f"r 1 100 ten\n{LINE}", "bad_header"),
        (f"r 1 100 99999999999999999999\n{LINE}", "bad_header"),
        (f"r 1 100 999999999999\n{LINE}", "too_large"),
        ("r 1 100 1000\n../../etc/passwd 16 1000/mV", "bad_header"),
        ("r 1 100 1000\n/etc/passwd 16 1000/mV", "bad_header"),
        ("r 1 100 1000\nother.dat 16 1000/mV", "bad_header"),
        ("r 1 100 1000\n..\\r.dat 16 1000/mV", "bad_header"),
        ("r 1 100 1000\nr.dat 17 1000/mV", "bad_header"),
        ("r 1 100 1000\nr.dat 16x0 1000/mV", "bad_header"),
        ("r 1 100 1000\nr.dat 16x999999999 1000/mV", "too_large"),
        ("r 1 100 1000\nr.dat 16", "uncalibrated"),
        ("r 1 100 1000\nr.dat", "bad_header"),
        ("x" * (LARGEST_BYTES + 1), "bad_header"),
    ],
)
def test_what_is_refused(text: str, reason: str) -> None:
    with pytest.raises(BadRecord) as caught:
        parse_header(text.encode(), "r")
    assert caught.value.reason == reason, caught.value
    assert "\n" not in caught.value.detail and len(caught.value.detail) < 400


def test_what_a_header_says() -> None:
    header = parse_header(
        b"# made up\nr 1 257/100(0) 1000 10:00:00 01/02/2003\nr.dat 212x2:3+24 200(-5)/uV 12 7 1 -9 0 a b\n", "r"
    )
    (line,) = header.signals
    assert (header.rate_hz, header.frames) == (257, 1000)
    assert (line.format, line.per_frame, line.skew, line.offset) == ("212", 2, 3, 24)
    assert (line.gain, line.baseline, line.unit, line.checksum, line.lead) == (200, -5, "uV", -9, "a b")


def test_250_leads_are_read() -> None:
    lines = "\n".join(LINE.replace(" I", f" E{number}") for number in range(250))
    assert len(parse_header(f"r 250 100 1000\n{lines}".encode(), "r").signals) == 250


PIECES = st.sampled_from(
    [
        "r",
        "r.dat",
        "16",
        "212",
        "1",
        "12",
        "100",
        "1000",
        "-1",
        "1e3",
        "/mV",
        "(0)",
        "200(-5)/mV",
        "x2",
        "+24",
        "\n",
        " ",
        "#",
        "/",
        "é",
        "\0",
    ]
)


@settings(max_examples=150, deadline=None)
@given(
    content=st.one_of(st.binary(max_size=60), st.lists(PIECES, max_size=25).map(lambda parts: "".join(parts).encode()))
)
def test_any_header_is_parsed_or_refused(content: bytes) -> None:
    try:
        segments = parse(b"r/1 1 100\n" + content, "r")
        assert isinstance(segments, Segments) and sum(frames for _, frames in segments.parts) > 0
    except BadRecord as error:
        assert error.reason in REASONS
    for head in (b"", b"r 1 100 1000\n"):
        try:
            header = parse_header(head + content, "r")
        except BadRecord as error:
            assert error.reason in REASONS
            continue
        assert 0 < header.rate_hz < float("inf")
        for line in header.signals:
            assert 0 < line.gain < float("inf") and line.file.startswith("r")
