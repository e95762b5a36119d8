"""The largest modulus that two published tables allow a ring of each degree.

Both hold for a uniform ternary secret, errors of width 3.19 and classical attacks: the
HomomorphicEncryption.org standard of 2018 (Albrecht et al., ePrint 2019/939) and the Security
Guidelines of 2024 (Bossuat et al., ePrint 2024/463, table 5.2).
"""

from __future__ import annotations

LEVELS = (128, 192, 256)
STANDARD_2018 = "HomomorphicEncryption.org standard 2018"
GUIDELINES_2024 = "Security Guidelines 2024 (ePrint 2024/463)"
TABLE_SIGMA = 3.19
TABLE_SECRET = "uniform ternary"

# Ring degree -> largest log2 Q at 128, 192 and 256 bits; None: no modulus is listed.
TABLES: dict[str, dict[int, tuple[int | None, int | None, int | None]]] = {
    STANDARD_2018: {
        1024: (27, 19, 14),
        2048: (54, 37, 29),
        4096: (109, 75, 58),
        8192: (218, 152, 118),
        16384: (438, 305, 237),
        32768: (881, 611, 476),
    },
    GUIDELINES_2024: {
        1024: (26, None, None),
        2048: (53, 36, 27),
        4096: (106, 73, 56),
        8192: (214, 147, 114),
        16384: (430, 297, 230),
        32768: (868, 597, 462),
        65536: (1747, 1199, 929),
    },
}


def largest_log2_q(table: str, degree: int, secret: str) -> int | None:
    """Return the largest log2 Q at 128 bits; None where the table does not cover such parameters.

    ``degree``: of the ring. ``secret``: how its keys are drawn, as records spell it.
    """
    if secret != TABLE_SECRET:
        return None
    return TABLES.get(table, {}).get(degree, (None, None, None))[0]
