"""What is said where a codec is missing or fails, and that documentation and code agree."""

from __future__ import annotations

import pytest
from pydicom.pixels.decoders.base import Decoder
from pydicom.uid import UID

from he_compare.common.datasets.reading.dicom_codecs import (
    BASELINE,
    DEFLATED,
    EXTENDED,
    JPEG_2000,
    JPEG_LS,
    NATIVE,
    PACKAGES,
    RLE,
    SYNTAXES,
    check_codec,
    decoding_failed,
    preferred_plugin,
)
from he_compare.common.datasets.reading.dicom_codestream import codestream_size
from he_compare.common.datasets.reading.dicom_elements import ElementError
from he_compare.common.datasets.reading.dicom_pixels import open_dicom
from he_compare.common.datasets.reading.dicom_recipe import PHOTOMETRIC, PixelLayout
from he_compare.common.errors import DataError
from tests.support.dcmtk import TEST_FILES
from tests.support.repository import ROOT

DOCUMENT = ROOT / "docs" / "how-to" / "dicom.md"


def layout(stored: int = 8) -> PixelLayout:
    allocated = 8 if stored <= 8 else 16
    return PixelLayout(16, 16, 1, "MONOCHROME2", 0, 1, allocated, stored, stored - 1, signed=False)


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that stands for the plug-ins that are installed."""
    installed: list[str] = []
    monkeypatch.setattr(Decoder, "available_plugins", property(lambda self: tuple(installed)))
    return installed


@pytest.mark.parametrize("syntax", PACKAGES)
def test_a_missing_codec_is_told_with_its_package(syntax: str, only: list[str]) -> None:
    with pytest.raises(ElementError, match="no codec for it is installed") as refused:
        check_codec(UID(syntax), layout())
    assert refused.value.fix == PACKAGES[syntax]


def test_pillow_alone_does_not_do_for_jpeg_of_12_bits(only: list[str]) -> None:
    only.append("pillow")
    check_codec(UID(EXTENDED), layout(8))
    with pytest.raises(ElementError, match="no codec"):
        check_codec(UID(EXTENDED), layout(12))


def test_a_codec_that_failed_names_the_package_that_is_not_there(only: list[str]) -> None:
    only.append("pillow")
    assert "pylibjpeg-openjpeg" in decoding_failed(UID(JPEG_2000), layout()).fix
    only.append("pylibjpeg")
    assert decoding_failed(UID(JPEG_2000), layout()).fix == "restore the file or leave it out"


def test_lossy_jpeg_is_decoded_by_one_codec_whatever_is_installed() -> None:
    assert preferred_plugin(UID(BASELINE), layout(), ["pylibjpeg", "pillow"]) == "pillow"
    assert preferred_plugin(UID(EXTENDED), layout(12), ["pylibjpeg", "pillow"]) == ""
    assert preferred_plugin(UID(JPEG_LS), layout(), ["pyjpegls", "pillow"]) == ""


def test_uncompressed_and_run_length_need_no_package(only: list[str]) -> None:
    for syntax in (*NATIVE, RLE, DEFLATED):
        check_codec(UID(syntax), layout())
    with pytest.raises(ElementError, match="MPEG2"):
        check_codec(UID("1.2.840.10008.1.2.4.100"), layout())


def test_what_compressed_data_says_of_its_size_is_read() -> None:
    assert codestream_size(b"\xff\xd8\xff\xe0\x00\x04ab\xff\xc0\x00\x0b\x08\x01\x00\x00\x40") == (
        256,
        64,
    )
    assert codestream_size(b"\xff\xd8") is None
    assert codestream_size(b"RLE") is None


def test_a_sound_file_that_no_codec_here_reads_is_told_with_the_package() -> None:
    """GDCMJ2K_TextGBR is sound: Pillow fails on it, OpenJPEG does not."""
    name = "GDCMJ2K_TextGBR.dcm"
    try:
        open_dicom(TEST_FILES / name, name)
    except DataError as error:
        assert "\n" not in str(error)
        assert "pip install pylibjpeg pylibjpeg-openjpeg" in error.fix


def test_a_stream_of_another_size_is_refused_before_it_is_decoded() -> None:
    name = "JPEG2000-embedded-sequence-delimiter.dcm"
    with pytest.raises(DataError, match=r"3,722,445,056 x 1,024, its header says 256 x 1024"):
        open_dicom(TEST_FILES / name, name)


def test_documentation_and_code_name_the_same_things() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    table = [line for line in text.splitlines() if line.startswith("| `1.2.840")]
    named = {line.split("`")[1]: line for line in table}
    assert set(named) == set(SYNTAXES)
    for syntax, package in PACKAGES.items():
        assert package.removesuffix(" (GPL)").split()[-1] in named[syntax]
    for syntax in (*NATIVE, RLE, DEFLATED):
        assert named[syntax].rstrip("| ").endswith("nothing")
    photometric = text[text.index("- Photometric") : text.index("- Bits allocated")]
    assert {part for part in photometric.split("`") if part.isupper()} == set(PHOTOMETRIC)
