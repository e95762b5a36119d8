"""The first words with a host: what answers there, or why nothing does, said by name."""

from __future__ import annotations

from collections.abc import Callable

import httpx

from he_compare.common.errors import CompareError, MessageError, UsageError
from he_compare.common.service.answer import Answer
from he_compare.common.service.answer_words import broken_words, error_words
from he_compare.common.service.host_address import HostAddress
from he_compare.common.service.host_card import HostCard, read_card
from he_compare.common.service.tls_contexts import CLIENT_FILES, tls_problem


def first_card(address: HostAddress, ask: Callable[[], Answer]) -> HostCard:
    """Return what a host says of itself when it is first asked. Raises UsageError, by name."""
    where = address.text
    try:
        answer = ask()
    except httpx.TimeoutException:
        raise UsageError(
            f"{where} does not answer in time", fix="see whether it runs, and the firewall"
        ) from None
    except (httpx.HTTPError, OSError) as error:
        problem = tls_problem(error, where)
        if problem is not None:
            raise problem from None
        if address.secure and isinstance(error, httpx.RemoteProtocolError | httpx.ReadError):
            raise UsageError(
                f"{where} ends the connection without a word: it wants a certificate of this "
                "side, or does not accept the one that it was shown",
                fix=f"pass {CLIENT_FILES} of the authority that the host was given as "
                "--client-ca, in their time; or see what runs there",
            ) from None
        if isinstance(error, httpx.RemoteProtocolError | httpx.ReadError):
            # A host with a certificate hears plain HTTP as noise, and hangs up.
            raise UsageError(
                f"{where} ends the connection without an answer to plain HTTP",
                fix="pass https:// if the host was started with --tls-cert; or see what runs there",
            ) from None
        raise UsageError(
            f"{where} cannot be reached: {broken_words(error)}",
            fix="start `compare host` there, and see whether address and firewall are right",
        ) from None
    except MessageError as error:
        raise UsageError(
            f"what answers at {where} is no `compare host`: {error.problem}",
            fix="see what listens there",
        ) from None
    if answer.status in (401, 403):
        raise UsageError(
            f"{where} does not accept the token of --token-file",
            fix="copy the token file of the host to this machine again",
        )
    try:
        return card_of(answer)
    except MessageError as error:
        raise UsageError(
            f"what answers at {where} is no `compare host` of this version: {error.problem}",
            fix="install the same version of he-compare on both machines",
        ) from None


def told_of(error: BaseException) -> str:
    """Return an error of an exchange in plain words."""
    return error.problem if isinstance(error, CompareError) else broken_words(error)


def card_of(answer: Answer) -> HostCard:
    """Read what a host says of itself. Raises MessageError."""
    if answer.status != httpx.codes.OK:
        raise MessageError(f"status {answer.status}, {error_words(answer)}")
    return read_card(answer.body)
