"""Why a node is not usable, or a bundle gone: kept on rows, said in the reader's language."""

import errno
import os

from cluster.engine.hearsay import MOST_NAME, clean
from cluster.words import Words
from cluster.words import gettext_noop as _

# Of a node

SET_UP_FAILED = Words(_("could not be set up; its own log says why"))
NEVER_SET_UP = Words(_("began to be set up, but never finished"))
GOODBYE = Words(_("it said goodbye"))
CLOSED = Words(_("it was closed"))
REMOVED = Words(_("it was removed"))
REFUSED_A_BUNDLE = Words(_("it refused a bundle"))
OTHER_SECRET = Words(_("has another secret than ours"))
NO_ADDRESS = Words(_("is not a name that resolves to an address"))

# Of a bundle

GONE = Words(_("the node is gone"))
LOST = Words(_("its node is lost"))
NEVER_REACHED = Words(_("it never reached the node"))
UNKNOWN_THERE = Words(_("the node does not know it"))
DISPY_LOST = Words(_("dispy lost it"))
DISPY_CANCELLED = Words(_("dispy cancelled it"))
CANCELLED_BEFORE = Words(_("cancelled before it was sent"))
NOT_RECORDED = Words(_("its answer could not be recorded"))
LONG_OVERDUE = Words(_("no answer long after its time limit"))
NOBODY_ANSWERS = Words(_("nobody answers for it after the restart"))


def silent(seconds: float) -> Words:
    return Words(_("nothing heard from it for %(seconds)s s"), seconds=round(seconds))


def same_machine(other: str) -> Words:
    return Words(_("is the same machine as %(other)s"), other=other)


def hangs(port: int, ours: int) -> Words:
    text = _(
        "accepts connections on port %(port)s but does not answer: it hangs, it cannot reach us "
        "at port %(ours)s, or it is a stock dispynode held by another client"
    )
    return Words(text, port=port, ours=ours)


def other_dispy(theirs: object, ours: str) -> Words:
    text = _("runs dispy %(theirs)s, but %(ours)s is needed on every machine")
    return Words(text, theirs=clean(str(theirs), MOST_NAME), ours=ours)


def works_for(place: object) -> Words:
    text = _("works for another dispatcher, at %(place)s")
    return Words(text, place=clean(str(place), MOST_NAME))


def unreachable(error: OSError, port: int) -> Words:
    number = number_of(error)
    if number == errno.ECONNREFUSED:
        return Words(_("refuses connections on port %(port)s: no agent runs there"), port=port)
    if isinstance(error, TimeoutError) or number in (errno.ETIMEDOUT, "timed out"):
        return Words(_("does not answer on port %(port)s: off, cut off, or hanging"), port=port)
    why = os.strerror(number) if isinstance(number, int) else str(error)
    return Words(_("cannot be reached on port %(port)s: %(why)s"), port=port, why=why)


def refuses(error: OSError) -> bool:
    """No agent runs there."""
    return number_of(error) == errno.ECONNREFUSED


def number_of(error: OSError) -> object:
    return error.errno or (error.args[0] if error.args else None)  # pycos gives the bare number


def node_lost(why: str) -> Words:
    return Words(_("node lost: %(why)s"), why=why)


def not_copied(file: str) -> Words:
    return Words(_("%(file)s could not be copied to the node"), file=file)


def refused(error: Exception) -> Words:
    return Words(_("the node refused it: %(error)s"), error=str(error)[-200:])
