"""A verdict does not depend on the kind of picture: controls hold on grainy pictures, too."""

from __future__ import annotations

import numpy as np
import pytest

from he_compare.common import plugins
from he_compare.common.attack import Attack
from he_compare.common.audit_budget import BUDGETS
from he_compare.common.scheme import OPEN_CONTROL
from he_compare.comparisons.auditing.targets import cipher_target, control_scheme
from he_compare.comparisons.auditing.trial import Trial
from he_compare.comparisons.auditing.verdicts import BROKEN_FROM
from tests.support.ultrasound import SpeckledPool

SIZE = 112


@pytest.mark.parametrize("name", ["shared_key_correlation", "jigsaw"])
def test_the_identity_is_read_whatever_the_pictures_show(name: str) -> None:
    """Twenty ciphertexts of these pictures give the correlation 0.67 of the positions."""
    attack: Attack = plugins.load("attacks", name)
    trial = Trial(SpeckledPool(), BUDGETS["quick"], 2, lambda *_: None, key_seed=0)
    target = cipher_target("vit_block", SIZE)
    found = trial.on_control(attack, target, control_scheme(OPEN_CONTROL, SIZE), 2)
    assert np.mean(found.values) > BROKEN_FROM
