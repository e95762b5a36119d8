"""Which package decodes which compressed DICOM file, and what to say where it is missing.

Measured, where pydicom's wheel ships such files: each package was installed alone and given them.
Of HTJ2K and JPEG Lossless with any prediction it ships none: these rows follow pydicom's lists.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from he_compare.common.datasets.reading.dicom_elements import ElementError
from he_compare.common.datasets.reading.dicom_recipe import PixelLayout

if TYPE_CHECKING:
    from pydicom.uid import UID

BASELINE, EXTENDED = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"
LOSSLESS, LOSSLESS_FIRST = "1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"
JPEG_LS, JPEG_LS_NEAR = "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"
JPEG_2000_LOSSLESS, JPEG_2000 = "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"
HTJ2K = ("1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.202", "1.2.840.10008.1.2.4.203")
RLE = "1.2.840.10008.1.2.5"
NATIVE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")
DEFLATED = "1.2.840.10008.1.2.1.99"

LIBJPEG = "pip install pylibjpeg pylibjpeg-libjpeg (GPL)"
PYJPEGLS = "pip install pyjpegls"
OPENJPEG = "pip install pylibjpeg pylibjpeg-openjpeg"
PACKAGES = {
    BASELINE: LIBJPEG,
    EXTENDED: LIBJPEG,
    LOSSLESS: LIBJPEG,
    LOSSLESS_FIRST: LIBJPEG,
    JPEG_LS: PYJPEGLS,
    JPEG_LS_NEAR: PYJPEGLS,
    JPEG_2000_LOSSLESS: OPENJPEG,
    JPEG_2000: OPENJPEG,
    **dict.fromkeys(HTJ2K, OPENJPEG),
}
SYNTAXES = (*NATIVE, DEFLATED, RLE, *PACKAGES)
"""Every transfer syntax that is read, with a package where ``PACKAGES`` names one."""


def check_codec(syntax: UID, layout: PixelLayout) -> None:
    """Raise ElementError where nothing that is installed can decode such pixels."""
    from pydicom.pixels.decoders.base import get_decoder

    if str(syntax) not in SYNTAXES:
        shown = syntax.name if syntax.name[:1].isalpha() else "an unknown transfer syntax"
        raise ElementError(
            f"it is stored as {shown}, which cannot be decoded here",
            fix="convert it to an uncompressed image (for instance with dcmdjpeg or gdcmconv)",
        )
    if str(syntax) not in PACKAGES:
        return
    plugins = set(get_decoder(syntax).available_plugins)
    # Pillow decodes JPEG Extended of 8 bits only.
    if syntax == EXTENDED and layout.stored > 8:
        plugins -= {"pillow"}
    if not plugins:
        raise ElementError(
            f"it is stored as {syntax.name}, and no codec for it is installed",
            fix=PACKAGES[str(syntax)],
        )


def preferred_plugin(syntax: UID, layout: PixelLayout, available: Collection[str]) -> str:
    """Return the plug-in to be used where there is a choice, '' where any may be tried.

    Decoders of lossy JPEG differ by a few levels; a picture is not to depend on what else is
    installed.
    """
    lossy_eight = str(syntax) in (BASELINE, EXTENDED) and layout.stored == 8
    return "pillow" if lossy_eight and "pillow" in available else ""


def decoding_failed(syntax: UID, layout: PixelLayout) -> ElementError:
    """Return what to say where every installed codec failed: texts of codecs are not repeated."""
    from pydicom.pixels.decoders.base import get_decoder

    about = (
        f"its pixels cannot be decoded ({syntax.name}, {layout.stored} bits, {layout.photometric})"
    )
    package = PACKAGES.get(str(syntax))
    plugins = set(get_decoder(syntax).available_plugins)
    if package is not None and PLUGIN_OF[package] not in plugins:
        return ElementError(about, fix=f"{package}; if that is no help, restore the file")
    return ElementError(about, fix="restore the file or leave it out")


PLUGIN_OF = {LIBJPEG: "pylibjpeg", PYJPEGLS: "pyjpegls", OPENJPEG: "pylibjpeg"}
"""What pydicom calls the plug-in that a package brings."""
