"""One attack under every key of a target or a control, and one check: run and scored.

With all that it imports, this module is what an outcome is keyed by, beside the attack and what is
attacked. So it imports nothing that stores, draws or reports progress.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from he_compare.common.attack import Attack, AttackFailedError, Check, CheckFinding, Inspected
from he_compare.common.audit_budget import AttackBudget
from he_compare.common.contracts import Progress
from he_compare.common.references.reference import Public
from he_compare.common.scheme import Scheme
from he_compare.common.seeds import generator_for
from he_compare.common.types import HeldPictures, UInt8Array
from he_compare.comparisons.attacks.tools.recogniser import Recogniser, fit_recogniser
from he_compare.comparisons.auditing.adversary_view import (
    Attacked,
    SentMessages,
    mean_of_pictures,
    set_up,
)
from he_compare.comparisons.auditing.answers import expect_finding, expect_score
from he_compare.comparisons.auditing.floors import had_without
from he_compare.comparisons.auditing.outcome_draft import ScoresOverKeys
from he_compare.comparisons.auditing.pool import PlainPool, is_grey
from he_compare.comparisons.auditing.targets import KEY_IN_USE, Target, audit_key
from he_compare.comparisons.auditing.timelimit import time_limit


class Trial:
    """Runs attacks and checks within one budget, on images of one pool.

    ``seed`` chooses images and what attacks draw. Keys come from the operating system, so that
    scores differ from one audit to the next within their intervals; ``key_seed`` fixes them.
    """

    def __init__(
        self,
        pool: PlainPool,
        budget: AttackBudget,
        seed: int,
        progress: Progress,
        key_seed: int | None = None,
    ) -> None:
        self.pool = pool
        self.budget = budget
        self.seed = seed
        self.progress = progress
        self.key_seed = key_seed
        self._public_means: dict[int, UInt8Array | None] = {}
        self._recognisers: dict[int, Recogniser | None] = {}
        self._sent = SentMessages()

    def on_target(
        self, attack: Attack, target: Target, public: Public | None = None
    ) -> ScoresOverKeys:
        """Run an attack under the key in use and under fresh ones. Raises OverTimeError.

        ``public``: the public images it is given; an attack that needs none gets none.
        """

        def attacked(number: int) -> Attacked:
            tape = target.opened.tape if number == KEY_IN_USE else None
            keyed = target.key(number, self.key_seed)
            return Attacked(target.scheme, keyed, tape, self._sent, (target.label, number))

        keys = max(self.budget.keys, attack.least_keys)
        return self._over_keys(attack, target, attacked, keys, public)

    def on_control(
        self,
        attack: Attack,
        target: Target,
        control: Scheme,
        keys: int,
        public: Public | None = None,
    ) -> ScoresOverKeys:
        """Run an attack on a control, believing what it believes of the target.

        Raises OverTimeError.
        """

        def attacked(number: int) -> Attacked:
            return Attacked(control, audit_key(control, number, self.key_seed))

        return self._over_keys(attack, target, attacked, keys, public)

    def _over_keys(
        self,
        attack: Attack,
        target: Target,
        attacked: Callable[[int], Attacked],
        keys: int,
        public: Public | None,
    ) -> ScoresOverKeys:
        result = ScoresOverKeys()
        budget = self.budget.with_images(attack.wants_images)
        for number in range(keys):
            view, truth = set_up(
                attack,
                target.scheme,
                target.facts,
                attacked(number),
                self.pool,
                budget,
                self.seed,
                number,
                self._recogniser(target.scheme.shape[0]),
                public,
                self._public_mean(target.scheme.shape[0]),
            )
            random = generator_for(self.seed, "attack", attack.name, number)
            start = time.perf_counter()
            guess, gave_up = None, False
            with time_limit(budget.seconds):
                try:
                    guess = attack.run(view, budget, random)
                except AttackFailedError as error:
                    gave_up = True
                    result.gave_up.append(str(error))
            result.seconds += time.perf_counter() - start
            answer = attack.score_nothing(truth) if gave_up else attack.score(guess, truth)
            score = expect_score(attack, answer)
            result.scores.append(score)
            result.groups.append([truth.groups.get(one, one) for one in score.images])
            result.floors.append(had_without(attack, view, truth))
            if number == 0:
                result.first = (view, truth)
                result.grey = is_grey(HeldPictures(truth.originals))
            self.progress("keys", number + 1, keys)
        return result

    def _recogniser(self, size: int) -> Recogniser | None:
        if size not in self._recognisers:
            self._recognisers[size] = fit_recogniser(self.pool.auxiliary(size))
        return self._recognisers[size]

    def _public_mean(self, size: int) -> UInt8Array | None:
        """Return the mean of the public images, uint8 (h, w, c); None where there are none."""
        if size not in self._public_means:
            self._public_means[size] = mean_of_pictures(self.pool.auxiliary(size).images)
        return self._public_means[size]

    def inspected(self, target: Target) -> Inspected:
        """Return what a check gets of a target: all of it, with images of the scheme's shape."""
        batch = self.pool.attacked(target.scheme.shape[0])
        return Inspected(
            label=target.label,
            pipeline=target.pipeline,
            deployed=target.opened.deployed,
            scheme=target.scheme,
            images=batch.images,
            labels=batch.labels,
            classes=self.pool.classes,
        )

    def examine(self, check: Check, inspected: Inspected) -> CheckFinding:
        """Run a check. Raises OverTimeError, CellError and what the check raises."""
        random = generator_for(self.seed, "check", check.name)
        with time_limit(self.budget.seconds * self.budget.keys):
            answer = check.examine(inspected, self.budget, random)
        return expect_finding(check, answer)
