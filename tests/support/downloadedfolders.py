"""Tiny folders in the layouts of public archives, as they lie there after unpacking.

Pictures are noise; names of folders, files and columns are those of the archive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

_noise = np.random.default_rng(15)


def picture(path: Path) -> None:
    """Write a picture of noise; its format follows from the ending."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(_noise.integers(0, 256, (8, 8), dtype=np.uint8)).save(path)


def tree(root: Path, counts: Mapping[str, int], stem: str = "img{}", suffix: str = ".png") -> None:
    """Write ``counts`` pictures by folder; ``stem`` takes the number."""
    for folder, count in counts.items():
        for number in range(count):
            picture(root / folder / (stem.format(number) + suffix))


def table(path: Path, header: str, lines: Iterable[str]) -> None:
    """Write a table as it stands."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")


def kaggle_chest_xray(root: Path) -> None:
    """Kermany's chest X-rays at Kaggle: a nested copy and what macOS leaves."""
    for place in ("", "chest_xray/", "__MACOSX/"):
        splits = {"train": 6, "val": 2, "test": 4}
        tree(
            root, {f"{place}{s}/{c}": n for s, n in splits.items() for c in ("NORMAL", "PNEUMONIA")}
        )
    for path in (root / "chest_xray").rglob("*.png"):
        path.write_bytes((root / path.relative_to(root / "chest_xray")).read_bytes())
    (root / ".DS_Store").write_bytes(b"Bud1")


def oct2017(root: Path) -> None:
    """OCT2017: the splits below a folder with a space and one more of the same name."""
    tree(
        root / "OCT2017 " / "OCT2017",
        {
            f"{s}/{c}": 4
            for s in ("train", "val", "test")
            for c in ("CNV", "DME", "DRUSEN", "NORMAL")
        },
        "CNV-{}-1",
        ".jpeg",
    )


def covid_radiography(root: Path) -> None:
    """COVID-19 Radiography Database: images and masks of one name in every class."""
    for name in ("COVID", "Normal", "Viral Pneumonia"):
        for kind in ("images", "masks"):
            tree(root / "COVID-19_Radiography_Dataset", {f"{name}/{kind}": 8}, f"{name}-{{}}")
    (root / "COVID-19_Radiography_Dataset" / "COVID.metadata.xlsx").write_bytes(b"PK")


def ham10000(root: Path) -> None:
    """HAM10000: two folders of images, a table with image_id without ending."""
    tree(root, {"HAM10000_images_part_1": 20}, "ISIC_1{}", ".jpg")
    tree(root, {"HAM10000_images_part_2": 20}, "ISIC_2{}", ".jpg")
    table(
        root / "HAM10000_metadata.csv",
        "lesion_id,image_id,dx,dx_type,age,sex,localization",
        [
            f"HAM_{part}{n // 2},ISIC_{part}{n},{('nv', 'mel')[n // 2 % 2]},histo,45.0,male,back"
            for part in (1, 2)
            for n in range(20)
        ],
    )


def isic2018(root: Path) -> None:
    """ISIC 2018 task 3: one column of 0.0 and 1.0 per class."""
    tree(root / "ISIC2018_Task3_Training_Input", {"": 12}, "ISIC_{}", ".jpg")
    table(
        root / "ISIC2018_Task3_Training_GroundTruth.csv",
        "image,MEL,NV,BCC",
        [
            f"ISIC_{n},{float(n % 3 == 0)},{float(n % 3 == 1)},{float(n % 3 == 2)}"
            for n in range(12)
        ],
    )


def isic_gallery(root: Path) -> None:
    """ISIC archive download: images beside metadata.csv, attribution.txt and licences."""
    tree(root, {"": 12}, "ISIC_{}", ".jpg")
    table(
        root / "metadata.csv",
        "isic_id,attribution,copyright_license,diagnosis_1,patient_id",
        [f"ISIC_{n},x,CC-0,{('Benign', 'Malignant')[n % 2]},IP_{n}" for n in range(12)],
    )
    (root / "attribution.txt").write_text("x")


def aptos(root: Path) -> None:
    """APTOS 2019: train.csv with id_code and a numeric diagnosis, test.csv without labels."""
    tree(root, {"train_images": 12, "test_images": 3}, "000{}")
    for number in range(3):
        (root / "test_images" / f"000{number}.png").rename(root / "test_images" / f"9{number}.png")
    table(root / "train.csv", "id_code,diagnosis", [f"000{n},{n % 2}" for n in range(12)])
    table(root / "test.csv", "id_code", [f"9{n}" for n in range(3)])
    table(root / "sample_submission.csv", "id_code,diagnosis", [f"9{n},0" for n in range(3)])


def pad_ufes(root: Path) -> None:
    """PAD-UFES-20: images in three parts, the table names them with their ending."""
    for part in (1, 2, 3):
        tree(root / "images" / f"imgs_part_{part}", {"": 8}, f"PAT_{part}{{}}_1_2")
    table(
        root / "metadata.csv",
        "patient_id,lesion_id,smoke,age,diagnostic,img_id,biopsed",
        [
            f"PAT_{p}{n},{n},False,55,{('ACK', 'BCC')[n % 2]},PAT_{p}{n}_1_2.png,True"
            for p in (1, 2, 3)
            for n in range(8)
        ],
    )


def breakhis(root: Path) -> None:
    """BreakHis: class, then SOB, histology, slide and magnification."""
    for name, kinds in {
        "benign": ("adenosis", "fibroadenoma"),
        "malignant": ("ductal", "lobular"),
    }.items():
        for kind in kinds:
            place = f"breast/{name}/SOB/{kind}/SOB_{kind}_14-1/40X"
            tree(root / "histology_slides", {place: 6}, f"{kind}-{{}}")


def breast_patches(root: Path) -> None:
    """Breast histopathology patches: a folder per patient with the classes 0 and 1 in it."""
    tree(root, {f"{patient}/{label}": 3 for patient in (8863, 8864, 8865) for label in (0, 1)})


def mura(root: Path) -> None:
    """MURA: the class is a word in the folder of a study; tables without a header."""
    for split in ("train", "valid"):
        for patient in range(4):
            label = ("negative", "positive")[patient % 2]
            tree(root / "MURA-v1.1", {f"{split}/XR_ELBOW/patient{patient}/study1_{label}": 2})
            tree(root / "MURA-v1.1", {f"{split}/XR_HAND/patient{patient}/study1_{label}": 2})
    table(root / "MURA-v1.1/train_image_paths.csv", "MURA-v1.1/train/XR_ELBOW/patient0/a.png", [])


def shenzhen(root: Path) -> None:
    """Shenzhen chest X-rays: the class is the last digit of the file's name."""
    tree(root / "CXR_png", {"": 6}, "CHNCXR_000{}_0")
    tree(root / "CXR_png", {"": 6}, "CHNCXR_001{}_1")
    (root / "ClinicalReadings").mkdir()
    (root / "ClinicalReadings" / "CHNCXR_0000_0.txt").write_text("normal")


def rsna(root: Path) -> None:
    """RSNA pneumonia: DICOM files and a table that names each several times."""
    for number in range(6):
        path = root / "stage_2_train_images" / f"id{number}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\0" * 128 + b"DICM")
    table(
        root / "stage_2_detailed_class_info.csv",
        "patientId,class",
        [f"id{n // 2},{('Normal', 'Lung Opacity')[n // 2 % 2]}" for n in range(12)],
    )


def chexpert(root: Path) -> None:
    """CheXpert: train.csv and valid.csv, paths below another folder, fourteen columns of flags."""
    lines = {}
    for split in ("train", "valid"):
        for patient in range(4):
            tree(root, {f"{split}/patient0000{patient}{split}/study1": 1}, "view{}_frontal", ".jpg")
        lines[split] = [
            f"CheXpert-v1.0-small/{split}/patient0000{p}{split}/study1/view0_frontal.jpg,Female,68,"
            f"{float(p % 2)},,-1.0"
            for p in range(4)
        ]
        table(root / f"{split}.csv", "Path,Sex,Age,No Finding,Edema,Fracture", lines[split])


def intel_style(root: Path) -> None:
    """seg_train/seg_train and seg_test/seg_test with a folder of pictures to predict."""
    for split in ("seg_train", "seg_test"):
        tree(root, {f"{split}/{split}/{name}": 6 for name in ("a", "b")})
    tree(root, {"seg_pred/seg_pred": 3})


def roboflow(root: Path) -> None:
    """Roboflow's export of a classification: train, valid, test and two readme files."""
    tree(
        root,
        {f"{s}/{c}": 4 for s in ("train", "valid", "test") for c in ("ill", "well")},
        suffix=".jpg",
    )
    for name in ("README.dataset.txt", "README.roboflow.txt"):
        (root / name).write_text("x")


def roboflow_table(root: Path) -> None:
    """Roboflow's other export: images of a split beside _classes.csv with one column per class."""
    for split in ("train", "valid", "test"):
        tree(root, {split: 4}, suffix=".jpg")
        table(root / split / "_classes.csv", "filename, ill, well", ["img0.jpg, 1, 0"])


def tb_chest(root: Path) -> None:
    """Tuberculosis chest X-rays: two classes beside two spreadsheets and a readme."""
    tree(root / "TB_Chest_Radiography_Database", {"Normal": 8, "Tuberculosis": 8}, "{}")
    for name in ("Normal.metadata.xlsx", "Tuberculosis.metadata.xlsx", "README.md.txt"):
        (root / "TB_Chest_Radiography_Database" / name).write_bytes(b"PK")


def brain_yes_no(root: Path) -> None:
    """Brain MRI: yes and no, and the same again in a folder below."""
    tree(root, {"yes": 8, "no": 8}, "Y{}", ".jpg")
    for name in ("yes", "no"):
        for path in sorted((root / name).iterdir()):
            copy = root / "brain_tumor_dataset" / name / path.name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())


def malaria(root: Path) -> None:
    """Malaria cells: the folder below itself, with Thumbs.db in each class."""
    for place in ("cell_images", "cell_images/cell_images"):
        tree(root / place, {"Parasitized": 8, "Uninfected": 8})
        (root / place / "Parasitized" / "Thumbs.db").write_bytes(b"x")
    for path in (root / "cell_images/cell_images").rglob("*.png"):
        outer = root / "cell_images" / path.relative_to(root / "cell_images/cell_images")
        path.write_bytes(outer.read_bytes())


def kvasir_split_in_class(root: Path) -> None:
    """Splits inside each class."""
    tree(root, {f"{c}/{s}": 6 for c in ("polyps", "ulcer") for s in ("train", "val", "test")})


def huggingface(root: Path) -> None:
    """An image folder of Hugging Face: metadata.csv in each split."""
    for split in ("train", "test"):
        tree(root / "data", {split: 6}, f"{split}{{}}")
        table(root / "data" / split / "metadata.csv", "file_name,label", [f"{split}0.png,a"])


def train_test_tables(root: Path) -> None:
    """train.csv, val.csv and test.csv beside one folder of images."""
    tree(root, {"images": 24}, "{}")
    for at, (name, count) in zip(
        (0, 12, 16), (("train", 12), ("val", 4), ("test", 8)), strict=True
    ):
        lines = [f"images/{n}.png,{'ab'[n % 2]}" for n in range(at, at + count)]
        table(root / f"{name}.csv", "file,label", lines)


def colab_paths(root: Path) -> None:
    """A table that was written on another machine."""
    tree(root, {"images/x": 12, "images/y": 12})
    table(
        root / "data.csv",
        "file;label",
        [f"/content/drive/MyDrive/set/images/{c}/img{n}.png;{c}" for c in "xy" for n in range(12)],
    )


def windows_paths(root: Path) -> None:
    """A table of Windows, with another case of the ending."""
    tree(root, {"Images": 16}, "P{}", ".jpg")
    table(
        root / "data.csv",
        "File,Label",
        [rf"C:\Users\Anna\Desktop\set\images\P{n}.JPG,{'ab'[n % 2]}" for n in range(16)],
    )


def diabetic_resized(root: Path) -> None:
    """Diabetic retinopathy, resized: the table names .jpeg, the disk has .png, and an index."""
    tree(root, {"resized_train/resized_train": 12}, "{}_left")
    table(
        root / "trainLabels.csv",
        "Unnamed: 0,image,level",
        [f"{n},{n}_left.jpeg,{n % 2}" for n in range(12)],
    )


def mias(root: Path) -> None:
    """MIAS: portable grey maps and a text of facts."""
    for number in range(4):
        path = root / "all-mias" / f"mdb00{number}.pgm"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"P5 1 1 255 0")
    (root / "Info.txt").write_text("mdb001 G CIRC B 535 425 197")


def cbis(root: Path) -> None:
    """CBIS-DDSM at Kaggle: jpeg folders named by UID, tables in csv/, names of DICOM files."""
    tree(root, {f"jpeg/1.3.6.1.4.{n}": 2 for n in range(6)}, "1-{}", ".jpg")
    table(
        root / "csv" / "calc_case_description_train_set.csv",
        "patient_id,pathology,image file path",
        [f"P_{n},{('BENIGN', 'MALIGNANT')[n % 2]},Calc/1.3.6.1.4.{n}/000000.dcm" for n in range(6)],
    )


def dicom_by_class(root: Path) -> None:
    """Class folders of DICOM files, named to the family of pictures."""
    for name in ("benign", "malignant"):
        for number in range(3):
            path = root / name / f"{number}.dcm"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"\0" * 128 + b"DICM")


def patients_below_splits(root: Path) -> None:
    """Splits, classes, and one folder per patient."""
    for split, first in (("train", 0), ("test", 10)):
        for label in ("ill", "well"):
            for patient in range(first, first + 6):
                tree(root, {f"{split}/{label}/P{patient:02d}{label}/scan": 2})


def ultrasound_masks(root: Path) -> None:
    """BUSI: masks lie beside the images of a class, told by their names only."""
    for name in ("benign", "malignant", "normal"):
        tree(root / "Dataset_BUSI_with_GT", {name: 6}, f"{name} ({{}})")
        tree(root / "Dataset_BUSI_with_GT", {name: 6}, f"{name} ({{}})_mask")


BUILDERS: dict[str, Callable[[Path], None]] = {
    build.__name__: build
    for build in (
        kaggle_chest_xray, oct2017, covid_radiography, ham10000, isic2018, isic_gallery, aptos,
        pad_ufes, breakhis, breast_patches, mura, shenzhen, rsna, chexpert, intel_style, roboflow,
        roboflow_table, tb_chest, brain_yes_no, malaria, kvasir_split_in_class, huggingface,
        train_test_tables, colab_paths, windows_paths, diabetic_resized, mias, cbis,
        dicom_by_class, patients_below_splits, ultrasound_masks,
    )
}  # fmt: skip
