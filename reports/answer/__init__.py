"""The first page: sentences and one table that rules make from records, for any run.

The rules, in the order of the page.

1. Title. A question: "Scrambling or encryption for ...?"; where a run holds only one of the two, or
   neither, the question is about what it holds. Profile and number of test images follow.
2. Scrambling. All set-ups of one cipher are one result. Of the attacks that won, the one that needs
   least is told: what sufficed, what came back, over how many keys, up to what. No winner is named
   among broken ciphers. Not broken is said with what that does not prove; not tested, with the
   command that tests it.
3. The choice. Only what rests on a hardness assumption, gave results and was not broken can be
   chosen. Of those, the ones for which no loss against the twin is shown; of those, the shortest
   wait, and with it all whose wait is not shown to be longer. Where no difference to a twin is
   stored, the highest value of the metric that leads comes before the wait. Its price is against
   its twin: equal answers, milliseconds, bytes, and accuracy or AUC where the interval excludes 0.
   Who computes what, and who owns the last layer, is said with it.
4. What encryption did not do: integrity, decryptions that leak, what an estimate is worth, what was
   not run.
5. Clinic. Counts of the chosen pipeline (else of the best unprotected one) and what speaks against
   using it; spread of repeated trainings, or that it was not measured.
6. One table of at most eight rows, one row per cipher; the rest is counted.
7. Two commands: repeat, verify.

Words are chosen once: "not broken" never becomes "secure", an interval that holds 0 "shows no
difference" and never equality, and what a run does not hold is said to be missing.
"""
