"""DICOM folders: pixels by the stated rule, patients by hash, and what is refused by name."""

from __future__ import annotations

import json
import logging
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset
from pydicom.pixels.processing import apply_windowing
from pydicom.sequence import Sequence
from pydicom.uid import (
    MPEG2MPML,
    BasicTextSRStorage,
    DeflatedExplicitVRLittleEndian,
    EncapsulatedPDFStorage,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from he_compare.common.datasets.dicom import DATASET
from he_compare.common.datasets.opened.choice import summary
from he_compare.common.datasets.opened.copies_found import look_for_copies
from he_compare.common.datasets.opened.fingerprint import fingerprint
from he_compare.common.datasets.opened.inspection import check
from he_compare.common.datasets.reading import dicom_file
from he_compare.common.datasets.reading.dicom_pixels import open_dicom
from he_compare.common.errors import DataError, UsageError
from he_compare.common.reading_options import ReadingOptions
from he_compare.common.types import Split
from tests.support.dicomfolders import PRIVATE_TEXT, SECRETS, dicom, save, write_dicom_tree
from tests.support.imagefolders import write_rows

GSPS = "1.2.840.10008.5.1.4.1.1.11.1"
RAMP = np.linspace(0, 4095, 256).astype(np.uint16).reshape(16, 16)


def picture(dataset: FileDataset, folder: Path) -> np.ndarray:
    return np.asarray(open_dicom(save(dataset, folder / "one.dcm"), "one.dcm"))


def open_folder(folder: Path, seed: int = 0) -> Any:
    return DATASET.open(str(folder), None, "", seed)


def refuse(folder: Path, message: str) -> None:
    with pytest.raises(DataError, match=message) as refused:
        open_folder(folder)
    assert not any(secret in str(refused.value) for secret in SECRETS)
    assert "\n" not in str(refused.value)


def spoil(folder: Path, dataset: FileDataset) -> None:
    """Put one more file into a good folder."""
    write_dicom_tree(folder, {"": 10})
    save(dataset, folder / "NORMAL" / "spoilt.dcm")


# --- pixels -----------------------------------------------------------------------------------


def test_eight_bit_grey_is_taken_as_stored(tmp_path: Path) -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert np.array_equal(picture(dicom(pixels), tmp_path), pixels)


def test_monochrome1_is_inverted(tmp_path: Path) -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    shown = picture(dicom(pixels, photometric="MONOCHROME1"), tmp_path)
    assert np.array_equal(shown, 255 - pixels)


@pytest.mark.parametrize("function", [None, "LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_a_window_is_applied_as_the_standard_says(tmp_path: Path, function: str | None) -> None:
    elements: dict[str, Any] = {"WindowCenter": 1800, "WindowWidth": 1500}
    if function:
        elements["VOILUTFunction"] = function
    image = dicom(RAMP, bits_stored=12, **elements)
    expected = apply_windowing(RAMP, image) / 4095 * 255
    shown = picture(image, tmp_path)
    assert np.abs(shown - expected).max() <= 0.5 + 1e-9
    assert shown.min() < 5 and shown.max() > 250


def test_the_first_of_several_windows_is_taken(tmp_path: Path) -> None:
    both = picture(
        dicom(RAMP, bits_stored=12, WindowCenter=[900, 3000], WindowWidth=[800, 100]), tmp_path
    )
    first = picture(dicom(RAMP, bits_stored=12, WindowCenter=900, WindowWidth=800), tmp_path)
    assert np.array_equal(both, first)


def test_rescale_comes_before_the_window(tmp_path: Path) -> None:
    hounsfield = np.array([[-1000, -160, 40, 240, 3000]] * 8).repeat(2, axis=1)
    image = dicom(
        (hounsfield + 1024).astype(np.uint16),
        RescaleSlope=1,
        RescaleIntercept=-1024,
        WindowCenter=40,
        WindowWidth=400,
    )
    shown = picture(image, tmp_path)
    assert shown[0, ::2].tolist() == [0, 0, 128, 255, 255]


def test_signed_values_are_read(tmp_path: Path) -> None:
    pixels = np.array([[-500, 0, 500]] * 8, dtype=np.int16).repeat(4, axis=1)
    shown = picture(dicom(pixels, WindowCenter=0.5, WindowWidth=1001), tmp_path)
    assert shown[0, ::4].tolist() == [0, 128, 255]


def test_a_voi_lut_comes_before_a_window(tmp_path: Path) -> None:
    lut = Dataset()
    lut.LUTDescriptor = [4096, 0, 16]
    lut.LUTData = [65535 if value >= 2048 else 0 for value in range(4096)]
    lut["LUTDescriptor"].VR, lut["LUTData"].VR = "US", "US"
    image = dicom(
        RAMP, bits_stored=12, VOILUTSequence=Sequence([lut]), WindowCenter=10, WindowWidth=10
    )
    assert np.array_equal(picture(image, tmp_path), np.where(RAMP >= 2048, 255, 0))


def test_without_a_window_deep_values_go_from_smallest_to_largest(tmp_path: Path) -> None:
    shown = picture(dicom(RAMP // 4 + 100, bits_stored=12), tmp_path)
    assert (shown.min(), shown.max()) == (0, 255)
    assert np.all(np.diff(shown.ravel().astype(int)) >= 0)


def test_padding_is_black_and_left_out_of_the_range(tmp_path: Path) -> None:
    pixels = RAMP // 4 + 100
    pixels[:4] = 4000
    for photometric in ("MONOCHROME1", "MONOCHROME2"):
        image = dicom(pixels, bits_stored=12, photometric=photometric, PixelPaddingValue=4000)
        image["PixelPaddingValue"].VR = "US"
        shown = picture(image, tmp_path)
        assert not shown[:4].any()
        assert (shown[4:].min(), shown[4:].max()) == (0, 255)


def test_a_flat_image_is_black(tmp_path: Path) -> None:
    assert not picture(dicom(np.full((16, 16), 900, np.uint16)), tmp_path).any()


def test_rgb_is_taken_as_stored_whatever_its_planes(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 12, 3), dtype=np.uint8)
    assert np.array_equal(picture(dicom(pixels, photometric="RGB"), tmp_path), pixels)
    planes = dicom(pixels, photometric="RGB", PlanarConfiguration=1)
    planes.PixelData = np.moveaxis(pixels, 2, 0).tobytes()
    assert np.array_equal(picture(planes, tmp_path), pixels)


def test_run_length_compressed_pixels_are_decoded(tmp_path: Path) -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    image = dicom(pixels)
    image.compress(RLELossless)
    assert np.array_equal(picture(image, tmp_path), pixels)


# --- folders, tables, patients ----------------------------------------------------------------


def test_a_tree_of_patient_folders_is_read_and_no_patient_is_in_two_splits(tmp_path: Path) -> None:
    data = open_folder(write_dicom_tree(tmp_path, {"": 20}))
    assert data.card.classes == ["NORMAL", "PNEUMONIA"]
    assert data.index(Split.TRAIN).ids[0].startswith("NORMAL/p0")
    groups = [set(data.index(split).groups) for split in Split]
    assert sum(map(len, groups)) == len(set().union(*groups)) == 10
    assert data.read(Split.TEST, np.array([0]), 16).shape == (1, 16, 16, 3)


def test_nothing_of_a_person_is_kept_anywhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    folder = write_dicom_tree(tmp_path, {"": 10})
    assert PRIVATE_TEXT.encode() in next(folder.rglob("*.dcm")).read_bytes()
    data = open_folder(folder)
    positions = {split: np.arange(len(data.index(split).ids)) for split in Split}
    told = [
        summary(
            data,
            positions,
            fingerprint=fingerprint(data, positions),
            image_size=16,
            default_subset="all",
            limits={},
        ).model_dump_json(),
        json.dumps(check(data).as_json()),
        repr(data),
        caplog.text,
        *capfd.readouterr(),
    ]
    for text in told:
        assert not any(secret in text for secret in SECRETS)


def test_a_pseudonym_is_the_same_in_every_folder(tmp_path: Path) -> None:
    one = open_folder(write_dicom_tree(tmp_path / "one", {"": 10}))
    other = open_folder(write_dicom_tree(tmp_path / "other", {"": 10}))
    assert set(one.index(Split.TRAIN).groups) <= {
        group for split in Split for group in other.index(split).groups
    }


def test_a_file_name_with_the_patient_in_it_is_replaced_by_a_hash(tmp_path: Path) -> None:
    write_dicom_tree(tmp_path, {"": 20})
    for i, path in enumerate(sorted(tmp_path.rglob("*.dcm"))[:3]):
        path.rename(path.with_name(f"mustermann_{i}.dcm"))
    data = open_folder(tmp_path)
    ids = [name for split in Split for name in data.index(split).ids]
    assert sum(name.startswith("file-") for name in ids) == 3
    assert not any("mustermann" in name for name in ids)
    assert any(
        note.startswith("3 file names contain a patient's id or name") for note in data.notes
    )
    assert sum(len(list(data.native(s, np.arange(len(data.index(s).ids))))) for s in Split) == 40


def test_images_without_a_patient_id_are_grouped_by_study(tmp_path: Path) -> None:
    write_dicom_tree(tmp_path, {"": 10})
    for name in ("a", "b"):
        image = dicom(RAMP // 2, patient="", StudyInstanceUID="1.2.3")
        save(image, tmp_path / "NORMAL" / f"{name}.dcm")
    notes = open_folder(tmp_path).notes
    assert any(
        "20 images by patient id" in note and "2 without one by study" in note for note in notes
    )


def test_a_table_gives_labels_splits_and_groups_and_they_are_joined_with_patients(
    tmp_path: Path,
) -> None:
    write_dicom_tree(tmp_path, {"": 20})
    rows: list[dict[str, object]] = [
        {"file": path.relative_to(tmp_path).as_posix(), "label": "xy"[i % 2], "group": f"MRN{i}"}
        for i, path in enumerate(sorted(tmp_path.rglob("*.dcm")))
    ]
    write_rows(tmp_path / "labels.csv", rows, ("file", "label", "group"))
    data = open_folder(tmp_path / "labels.csv")
    assert data.card.classes == ["x", "y"]
    groups = {group for split in Split for group in data.index(split).groups}
    assert len(groups) == 10
    assert not any("MRN" in group for group in groups)


def test_a_patient_in_two_given_splits_is_refused_with_the_files(tmp_path: Path) -> None:
    write_dicom_tree(tmp_path, {"train": 10, "test": 5})
    source = sorted((tmp_path / "train/NORMAL").rglob("*.dcm"))[0]
    image = dcmread(source)
    image.PixelData = RAMP.tobytes()
    image.Rows = image.Columns = 16
    save(image, tmp_path / "test/NORMAL/again.dcm")
    refuse(
        tmp_path, r"'patient-\w{16}' is in two splits, train and test \(images 'train/.*again\.dcm'"
    )


def test_the_same_pixels_of_two_patients_stay_in_one_split_or_are_copies(tmp_path: Path) -> None:
    write_dicom_tree(tmp_path / "free", {"": 10})
    write_dicom_tree(tmp_path / "given", {"train": 10, "test": 5})
    for folder in (tmp_path / "free/NORMAL", tmp_path / "given/test/NORMAL"):
        split = "" if "free" in folder.parts else "train/"
        parent = tmp_path / ("given" if split else "free")
        image = dcmread(sorted((parent / f"{split}NORMAL").rglob("*.dcm"))[0])
        image.PatientID = "someone else"
        save(image, folder / "copy.dcm")
    assert check(open_folder(tmp_path / "free")).copies.across == 0
    assert look_for_copies(open_folder(tmp_path / "given")).facts("keep").test_images == 1


def test_the_reduction_the_inversion_and_burnt_in_text_are_reported(tmp_path: Path) -> None:
    write_dicom_tree(tmp_path, {"": 10}, BurnedInAnnotation="NO")
    for name, value in (("a", "YES"), ("b", None)):
        image = dicom(RAMP + ord(name), photometric="MONOCHROME1")
        if value:
            image.BurnedInAnnotation = value
        save(image, tmp_path / "NORMAL" / f"{name}.dcm")
    notes = " | ".join(open_folder(tmp_path).notes)
    assert "2 by smallest to largest value, 20 by window; 2 MONOCHROME1 images inverted" in notes
    assert "burnt-in annotation: 1 images say yes, 20 no, 1 say nothing" in notes
    assert "window" in DATASET.card().description


def test_other_files_are_left_out_and_counted_without_their_names(tmp_path: Path) -> None:
    write_dicom_tree(tmp_path, {"": 10})
    (tmp_path / "NORMAL" / "Mustermann").write_text("x")
    (tmp_path / "NORMAL" / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    notes = open_folder(tmp_path).notes
    assert "2 files in NORMAL that are not DICOM images were left out" in notes


# --- refusals ---------------------------------------------------------------------------------


def test_an_image_without_pixel_data_is_refused_by_name(tmp_path: Path) -> None:
    spoil(tmp_path, dicom(RAMP, PixelData=None))
    refuse(tmp_path, r"NORMAL/spoilt\.dcm is an image without pixel data")


@pytest.mark.parametrize("kind", [BasicTextSRStorage, EncapsulatedPDFStorage, GSPS, "1.2.3.4.5"])
def test_reports_documents_and_the_like_are_passed_over_and_counted(
    tmp_path: Path, kind: str
) -> None:
    image = dicom(RAMP, PixelData=None, Rows=None, Columns=None, Modality="SR", SOPClassUID=kind)
    spoil(tmp_path, image)
    data = open_folder(tmp_path)
    assert sum(len(data.index(split).ids) for split in Split) == 20
    assert any(note.startswith("1 DICOM objects without pixels") for note in data.notes)


def test_a_class_of_reports_only_is_named(tmp_path: Path) -> None:
    write_dicom_tree(tmp_path, {"": 10})
    report = dicom(RAMP, PixelData=None, SOPClassUID=BasicTextSRStorage)
    save(report, tmp_path / "REPORTS" / "one.dcm")
    refuse(tmp_path, "class 'REPORTS' has no DICOM images")


def test_all_files_that_cannot_be_read_are_named_and_counted_at_once(tmp_path: Path) -> None:
    write_dicom_tree(tmp_path, {"": 10})
    for number in range(12):
        wrong = {"BitsAllocated": 12} if number else {"Rows": None}
        save(dicom(RAMP, **wrong), tmp_path / "NORMAL" / f"bad{number:02d}.dcm")
    refuse(
        tmp_path,
        r"12 of 32 DICOM files cannot be read: image NORMAL/bad00\.dcm has no Rows .*bad09"
        r".*; and 2 more \(repair these files, move them away, or name the others in a CSV",
    )


# --- frames -----------------------------------------------------------------------------------

FRAMES = np.stack([RAMP // (frame + 1) for frame in range(5)])


def cine(folder: Path, name: str = "NORMAL/cine.dcm", **elements: Any) -> Path:
    image = dicom(RAMP, NumberOfFrames=5, patient="the one", **elements)
    image.PixelData = FRAMES.tobytes()
    return save(image, folder / name)


def opened_with(folder: Path, frames: str) -> Any:
    return DATASET.open(str(folder), None, "", 0, ReadingOptions(frames=frames))


def test_a_file_of_several_frames_is_refused_with_the_option(tmp_path: Path) -> None:
    write_dicom_tree(tmp_path, {"": 10})
    cine(tmp_path)
    refuse(tmp_path, r"NORMAL/cine\.dcm has 5 frames \(say with --frames first, --frames middle")


@pytest.mark.parametrize(
    ("frames", "chosen"), [("first", [1]), ("middle", [3]), ("all", [*"12345"])]
)
def test_frames_are_images_of_their_patient(tmp_path: Path, frames: str, chosen: str) -> None:
    write_dicom_tree(tmp_path, {"": 10})
    cine(tmp_path, WindowCenter=2048, WindowWidth=4096)
    data = opened_with(tmp_path, frames)
    found = {}
    for split in Split:
        index = data.index(split)
        pictures = data.native(split, np.arange(len(index.ids)))
        for name, group, shown in zip(index.ids, index.groups, pictures, strict=True):
            if "cine" in name:
                found[name] = (group, shown[..., 0])
    assert list(found) == [f"NORMAL/cine.dcm#frame-000{frame}" for frame in chosen]
    assert len({group for group, _ in found.values()}) == 1
    for name, (_, shown) in found.items():
        expected = FRAMES[int(name[-1]) - 1] * (255 / 4095)
        assert np.abs(shown - expected).max() <= 1
    assert any(f"{len(chosen)} of 5 frames are images" in note for note in data.notes)


def test_equal_frames_of_two_files_are_copies(tmp_path: Path) -> None:
    write_dicom_tree(tmp_path, {"": 10})
    cine(tmp_path)
    save(dicom(FRAMES[2]), tmp_path / "PNEUMONIA" / "still.dcm")
    notes = opened_with(tmp_path, "all").notes
    assert any(note.startswith("1 images are exact copies") for note in notes)


def test_all_files_of_several_frames_are_named_with_the_option(tmp_path: Path) -> None:
    write_dicom_tree(tmp_path, {"": 10})
    cine(tmp_path, "NORMAL/one.dcm")
    cine(tmp_path, "NORMAL/two.dcm")
    refuse(
        tmp_path,
        r"2 of 22 DICOM files cannot be read: image NORMAL/one\.dcm has 5 frames; image "
        r"NORMAL/two\.dcm has 5 frames \(say with --frames first",
    )


def test_frames_of_run_length_data_are_decoded_one_by_one(tmp_path: Path) -> None:
    path = cine(tmp_path, "one.dcm", WindowCenter=2048, WindowWidth=4096)
    image = dcmread(path)
    image.compress(RLELossless)
    save(image, path)
    for frame in range(5):
        shown = np.asarray(open_dicom(path, "one.dcm", frame))
        assert np.abs(shown - FRAMES[frame] * (255 / 4095)).max() <= 1


def test_a_word_for_frames_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--frames 'last' is none of first, middle, all"):
        opened_with(write_dicom_tree(tmp_path, {"": 10}), "last")


# --- refusals, continued ----------------------------------------------------------------------


def test_an_image_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    spoil(tmp_path, dicom(RAMP, Rows=65000, Columns=65000))
    refuse(tmp_path, r"spoilt\.dcm claims 65000 x 65000 pixels.*more than 64,000,000")


def test_truncated_pixels_are_refused_by_name(tmp_path: Path) -> None:
    image = dicom(RAMP)
    image.PixelData = image.PixelData[:300]
    spoil(tmp_path, image)
    refuse(tmp_path, r"spoilt\.dcm is truncated: 300 of 512 bytes")


def test_a_file_cut_off_in_its_header_is_refused_by_name(tmp_path: Path) -> None:
    spoil(tmp_path, dicom(RAMP))
    path = tmp_path / "NORMAL/spoilt.dcm"
    path.write_bytes(path.read_bytes()[:300])
    refuse(tmp_path, r"NORMAL/spoilt\.dcm")


@pytest.mark.parametrize(
    ("syntax", "message"),
    [
        (JPEGLosslessSV1, r"JPEG Lossless.*no codec.*pip install pylibjpeg pylibjpeg-libjpeg"),
        (JPEGLSLossless, r"JPEG-LS Lossless.*no codec.*pip install pyjpegls"),
        (MPEG2MPML, r"MPEG2.*cannot be decoded here"),
    ],
)
def test_a_missing_codec_is_told_with_the_command_that_installs_it(
    tmp_path: Path, syntax: Any, message: str
) -> None:
    from pydicom.encaps import encapsulate
    from pydicom.pixels.decoders.base import get_decoder

    try:
        if get_decoder(syntax).is_available:
            pytest.skip("the codec is installed here")
    except NotImplementedError:
        pass
    image = dicom(RAMP)
    image.file_meta.TransferSyntaxUID = syntax
    image.PixelData = encapsulate([b"\xff\xd8\xff\xd9"])
    image["PixelData"].is_undefined_length = True
    spoil(tmp_path, image)
    refuse(tmp_path, message)


def deflate(path: Path, folder: Path, extra: bytes = b"") -> Path:
    """Store a file deflated, by hand: what follows the file meta information is deflated."""
    image = dcmread(path)
    image.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    image.save_as(folder / "deflated.dcm", enforce_file_format=True)
    raw = (folder / "deflated.dcm").read_bytes()
    if extra:
        head = len(raw) - len(_deflated_part(raw))
        (folder / "deflated.dcm").write_bytes(raw[:head] + extra)
    return folder / "deflated.dcm"


def _deflated_part(raw: bytes) -> bytes:
    length = int.from_bytes(raw[140:144], "little")
    return raw[144 + length :]


def test_a_deflated_file_is_read_and_a_deflated_bomb_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = save(dicom(RAMP), tmp_path / "plain.dcm")
    shown = open_dicom(deflate(plain, tmp_path), "deflated.dcm")
    assert np.array_equal(np.asarray(shown), np.asarray(open_dicom(plain, "plain.dcm")))
    monkeypatch.setattr(dicom_file, "MAX_INFLATED_BYTES", 2**20)
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = packer.compress(bytes(2**24)) + packer.flush()
    with pytest.raises(DataError, match="is stored deflated and has more than 1,048,576 bytes"):
        open_dicom(deflate(plain, tmp_path, bomb), "deflated.dcm")


@pytest.mark.parametrize("meta", [True, False])
def test_a_file_without_the_prefix_is_read_and_counted(tmp_path: Path, meta: bool) -> None:
    write_dicom_tree(tmp_path, {"": 10})
    raw = save(dicom(RAMP), tmp_path / "NORMAL" / "old.dcm").read_bytes()
    length = 0 if meta else 12 + int.from_bytes(raw[140:144], "little")
    (tmp_path / "NORMAL" / "old.dcm").write_bytes(raw[132 + length :])
    data = open_folder(tmp_path)
    assert any(note.startswith("1 files lack the DICM prefix") for note in data.notes)
    shown = open_dicom(tmp_path / "NORMAL/old.dcm", "old.dcm")
    whole = open_dicom(save(dicom(RAMP), tmp_path / "whole.dcm"), "whole.dcm")
    assert np.array_equal(np.asarray(shown), np.asarray(whole))


def test_an_unknown_photometric_interpretation_is_refused_by_name(tmp_path: Path) -> None:
    spoil(tmp_path, dicom(RAMP, PhotometricInterpretation="HSV"))
    refuse(tmp_path, r"spoilt\.dcm has the photometric interpretation 'HSV'")


def test_a_file_that_only_claims_to_be_dicom_is_refused_by_name(tmp_path: Path) -> None:
    write_dicom_tree(tmp_path, {"": 10})
    (tmp_path / "NORMAL" / "note.dcm").write_text("not DICOM")
    refuse(tmp_path, r"NORMAL/note\.dcm is not a DICOM file")


def test_missing_elements_are_named(tmp_path: Path) -> None:
    spoil(tmp_path, dicom(RAMP, Rows=None))
    refuse(tmp_path, r"spoilt\.dcm has no Rows")


def test_random_bytes_after_the_prefix_are_refused_by_name(tmp_path: Path) -> None:
    write_dicom_tree(tmp_path, {"": 10})
    noise = np.random.default_rng(0).bytes(4000)
    (tmp_path / "NORMAL" / "noise.dcm").write_bytes(bytes(128) + b"DICM" + noise)
    refuse(tmp_path, r"NORMAL/noise\.dcm")


def test_links_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    folder = write_dicom_tree(tmp_path / "in", {"": 10})
    outside = save(dicom(RAMP), tmp_path / "out" / "x.dcm")
    (folder / "NORMAL" / "link.dcm").symlink_to(outside)
    refuse(folder, r"'NORMAL/link\.dcm' leads out of the folder")
    (folder / "NORMAL" / "link.dcm").unlink()
    (folder / "NORMAL" / "more").symlink_to(outside.parent)
    refuse(folder, "folder NORMAL/more is a link")


def test_an_empty_class_is_named(tmp_path: Path) -> None:
    write_dicom_tree(tmp_path, {"": 10})
    (tmp_path / "EMPTY").mkdir()
    refuse(tmp_path, "class folder 'EMPTY' has no DICOM files")


def test_a_hostile_name_in_a_table_is_refused(tmp_path: Path) -> None:
    write_dicom_tree(tmp_path, {"": 10})
    (tmp_path / "labels.csv").write_text("file,label\n../../etc/passwd,x\n")
    refuse(tmp_path, "leads out of the folder")


def test_nothing_named_is_refused() -> None:
    with pytest.raises(DataError, match="write --dataset dicom:PATH"):
        DATASET.open("", None, "", 0)
