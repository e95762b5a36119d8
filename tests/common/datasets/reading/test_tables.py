"""Tables as spreadsheets and scripts store them: encodings, separators, columns, empty values."""

from __future__ import annotations

from pathlib import Path

import pytest

from he_compare.common.datasets.reading import csv_tables
from he_compare.common.datasets.reading.csv_tables import CsvTable, read_lines, read_table
from he_compare.common.errors import DataError

ROWS = [["file", "label"], ["a.png", "Entzündung"], ["b.png", "normal"]]
TEXT = "\n".join(",".join(row) for row in ROWS) + "\n"


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "t.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(folder: Path, content: str | bytes) -> CsvTable:
    return read_table(written(folder, content), ("file", "label"), ("group",))


def refuse(folder: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as refused:
        read(folder, content)
    assert refused.value.fix


@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"],
)
def test_unicode_is_read_without_a_word(tmp_path: Path, encoding: str) -> None:
    table = read(tmp_path, TEXT.encode(encoding))
    assert table.column("label") == ["Entzündung", "normal"]
    assert table.notes == []


def test_windows_1252_is_read_and_told_with_its_words(tmp_path: Path) -> None:
    table = read(tmp_path, TEXT.encode("cp1252"))
    assert table.column("label") == ["Entzündung", "normal"]
    assert table.notes == [
        "t.csv is not UTF-8 and was read as Windows-1252: 'Entzündung'; if these words are wrong, "
        "store it as UTF-8"
    ]


@pytest.mark.parametrize(
    ("word", "encoding"),
    [
        ("正常", "gbk"),
        ("Entzündung", "mac_roman"),
        ("Entzündung", "cp437"),
        ("肺炎", "shift_jis"),
        ("здоров", "cp1251"),
        ("złośliwy", "cp1250"),
    ],
)
def test_other_encodings_are_refused(tmp_path: Path, word: str, encoding: str) -> None:
    refuse(tmp_path, f"file,label\na.png,{word}\n".encode(encoding), r"t\.csv is not UTF-8 \(byte")


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1"])
def test_a_text_that_was_encoded_twice_is_refused_with_what_it_should_read(
    tmp_path: Path, encoding: str
) -> None:
    twice = TEXT.encode().decode(encoding)
    refuse(tmp_path, twice, "line 2: label 'EntzÃ¼ndung' was garbled .* 'Entzündung'")


def test_a_lost_letter_is_refused(tmp_path: Path) -> None:
    refuse(tmp_path, TEXT.replace("ü", "\ufffd"), r"should read 'Entz\?ndung'")


@pytest.mark.parametrize(
    ("mark", "said"), [(";", "semicolons"), ("\t", "tabs"), ("|", "vertical bars")]
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_values_may_be_separated_otherwise(tmp_path: Path, mark: str, said: str, end: str) -> None:
    table = read(tmp_path, end.join(mark.join(row) for row in ROWS) + end)
    assert table.column("file") == ["a.png", "b.png"]
    assert table.notes == [f"values of t.csv are separated by {said}"]


def test_the_separator_is_that_which_finds_the_columns(tmp_path: Path) -> None:
    table = read(tmp_path, "file;label;size (x,y,z,t)\na.png;ill;1,2,3,4\n")
    assert table.column("label") == ["ill"]


def test_the_line_that_names_the_separator_is_no_header(tmp_path: Path) -> None:
    assert read(tmp_path, "sep=;\nfile;label\na.png;ill\n").column("label") == ["ill"]


@pytest.mark.parametrize(
    "text",
    [
        "file,label,\na.png,ill\n",
        "file,label,\na.png,ill,\n",
        "file,label\na.png,ill,\n",
        "file,label,,\na.png,ill,,\n,,,\n\n",
        ",file,label\n0,a.png,ill\n",
        "\n\nfile,label\n\na.png,ill\n , \n",
        '"file","label"\n"a.png","ill"\n',
        "File, LABEL \na.png , ill\n",
        "label,other,file\nill,,a.png\n",
    ],
)
def test_what_spreadsheets_add_is_passed_over(tmp_path: Path, text: str) -> None:
    table = read(tmp_path, text)
    assert (table.column("file"), table.column("label")) == (["a.png"], ["ill"])


def test_the_exact_name_of_a_column_goes_before_another_case(tmp_path: Path) -> None:
    assert read(tmp_path, "File,file,label\nx,a.png,ill\n").column("file") == ["a.png"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("File,FILE,label\nx,a.png,ill\n", "two columns 'File'"),
        ("file,label\na.png,ill,more\n", "line 2 has 3 values, the header has 2"),
        ("file,label\na.png\n", "line 2 has 1 values, the header has 2"),
        ("file,label\na.png,\nb.png,x\nc.png, \n", r"label is empty in 2 of 3 rows \(lines 2, 4\)"),
        ("file,label\na.png,\nb.png,x\n", "line 2: label is empty"),
        ("file,label\na.png,\x07\n", r"line 2: label is not plain text: '\\x07'"),
        ("file,label\na.png," + "x" * 200_000 + "\n", "line 2 is not CSV: field larger"),
        ("file;name\na.png;ill\n", r"no column 'label' \(it has 'file', 'name'\)"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    refuse(tmp_path, text, message)


@pytest.mark.parametrize("content", [b"\xff\xfef\0i", b"\x00\x01\x02\x81\x8d", b"\xff\xfe\x00\xd8"])
def test_bytes_that_are_no_text_are_refused(tmp_path: Path, content: bytes) -> None:
    refuse(tmp_path, content, r"t\.csv (is not|has no column)")


def test_rows_and_bytes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_tables, "MAX_ROWS", 1)
    refuse(tmp_path, TEXT, "has more than 1 rows")
    monkeypatch.setattr("he_compare.common.datasets.reading.table_text.MAX_BYTES", 10)
    refuse(tmp_path, TEXT, "is larger than 10 bytes")


def test_columns_may_be_called_otherwise(tmp_path: Path) -> None:
    path = written(tmp_path, "Image Id,dx\na.png,ill\n")
    table = read_table(path, ("file", "label"), (), {"file": "image id", "label": "dx"})
    assert table.column("file") == ["a.png"]


def test_a_list_of_names_is_read_as_a_table_is(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes("a.png\r\n\r\nb.png\r\n".encode("utf-16"))
    assert read_lines(path) == ["a.png", "b.png"]
