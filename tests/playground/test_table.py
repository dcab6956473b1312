"""A learner's CSV file: read with limits, trained on, taken home; anything else is one clear error."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.playground.test_program import expected, numbers, run
from tinygrad_dl.errors import TinygradError
from tinygrad_dl.playground.program import program
from tinygrad_dl.playground.session import Session
from tinygrad_dl.playground.state import Config, Layer, from_fragment, to_fragment
from tinygrad_dl.playground.tab import Tab
from tinygrad_dl.playground.table import read_csv

pytest.importorskip("pandas", reason="pandas reads CSV files (extra web)")
CITIES = ["東京", "Nara"]
KINDS = "".join(f"{i % 7},{'' if i == 3 else i % 5},{CITIES[i % 2]},{'abc'[i % 3]}\n" for i in range(40))


def coded(text: str, encoding: str = "utf-8") -> str:
    return base64.b64encode(text.encode(encoding)).decode()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp932"])
def test_columns_become_numbers_and_gaps_the_median(encoding: str) -> None:
    read = read_csv(coded("w,h,city,kind\n" + KINDS, encoding))
    table = read["table"]
    assert table["columns"] == ["w", "h", "city=Nara", "city=東京"] and table["labels"] == ["a", "b", "c"]
    assert table["rows"][0] == [0, 0, 0, 1, 0] and table["rows"][3] == [3, 2, 1, 0, 0]
    assert read["names"] == ["w", "h", "city", "kind"] and read["target"] == "kind"


def test_another_column_can_be_predicted_and_many_whole_numbers_are_a_number() -> None:
    table = read_csv(coded("w,h,city,kind\n" + KINDS), "w")["table"]
    assert table["labels"] == [] and table["columns"][:2] == ["h", "city=Nara"]
    assert [row[-1] for row in table["rows"][:8]] == [0, 1, 2, 3, 4, 5, 6, 0]


@pytest.mark.parametrize("target", ["kind", "w"])
def test_a_table_is_trained_on_and_its_program_prints_the_same_numbers(target: str, tmp_path: Path) -> None:
    table = read_csv(coded("w,h,city,kind\n" + KINDS), target)["table"]
    config = Config(data="csv", table=table, layers=(Layer(units=3),))
    assert from_fragment(to_fragment([config], 3)) == ((config,), 3)
    session = Session(config)
    session.advance(12)
    pictures, examples = session.pictures(), session.examples()
    assert ("boundary" in pictures) == (target == "kind") == ("curve" not in pictures)
    assert examples["x"].shape == (40, 2 if target == "kind" else 1)
    path = tmp_path / "taken_home.py"
    path.write_text(program(config, 12), encoding="utf-8")
    found = [value for value in expected(session) if value == value]
    assert numbers(run(path)) == pytest.approx(found, rel=1e-3, abs=1e-3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "csv: No columns to parse"),
        ("a,b\nx,1\n", "expected"),
        ("a,b\n" + "1,2\n" * 1500, "csv: expected at most 1000 rows, got 1500"),
        (",".join("abcdefgh" * 20) + "\n1", "csv: expected at most 100 columns"),
        ("a,b\n" + "".join(f"{i},{i % 9}x\n" for i in range(90)), "csv: b: expected 2 to 6 classes"),
        (
            "n,y\n" + "".join(f"word {i} of {i},{i % 2}\n" for i in range(90)),
            "csv: n: expected numbers, dates",
        ),
        ("a,b\n1e300,1\n2,0\n3,1\n4,0\n", "table.rows: expected a number from -1e+09 to 1e+09"),
    ],
    ids=range(7),
)
def test_the_error_says_what_is_wrong_with_a_file(text: str, message: str) -> None:
    (answer,) = Tab().receive(json.dumps({"type": "csv", "content": coded(text), "target": ""}))
    said = json.loads(answer)
    if said["type"] == "error":
        assert message in said["message"] and "/" not in said["message"]
    else:  # a table that no configuration takes
        with pytest.raises(TinygradError, match=message):
            Config(data="csv", table=said["table"])


@given(st.binary(max_size=60) | st.text('ab1.,;\t"\n- é', max_size=60).map(str.encode), st.text(max_size=3))
@example(b"\xff\xfe\0", "")
@example(b"\x00,\x00\n1,2", "")
def test_any_bytes_give_a_table_or_one_error(data: bytes, target: str) -> None:
    content = base64.b64encode(data).decode()
    (answer,) = Tab().receive(json.dumps({"type": "csv", "content": content, "target": target}))
    assert json.loads(answer)["type"] in ("csv", "error") and "\n" not in answer
