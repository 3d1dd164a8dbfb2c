"""The exam every ledger takes, yours too: ``check_ledger(lambda: MyLedger(...))``."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeAlias

from staytuned.errors import BlobMissing, StayTunedError, UsageError
from staytuned.protocols import Claim, Fact, Ledger

Make: TypeAlias = Callable[[], Ledger]
Law: TypeAlias = Callable[[Make], None]


def check_ledger(make: Make) -> None:
    """Put a ledger through every law.

    Args:
        make: gives an empty ledger at every call.

    Raises:
        AssertionError: a law is broken; the message says which and how.
    """
    for law in LEDGER_LAWS:
        law(make)


def ids_increase(make: Make) -> None:
    """Ids are positive and increase with every fact, whatever its stream; a read gives them in that order."""
    ledger = make()
    ids = [*ledger.append([_fact("a"), _fact("b")]), *ledger.append([_fact("a")]), *ledger.append([])]
    _equal(len(ids), 3, "one id for every fact")
    _true(0 < ids[0] < ids[1] < ids[2], f"ids must be positive and increase, not {ids}")
    _equal([fact.id for fact in ledger.read()], ids, "read() must give the ids that append() gave, in their order")


def facts_come_back(make: Make) -> None:
    """A fact is read back as it was written, with an id and a time of the ledger's own."""
    ledger = make()
    [id] = ledger.append([Fact("study/a", "asked", {"number": 1}, key="1", id=99, at=1.0)])
    [fact] = ledger.read()
    _equal((fact.stream, fact.kind, fact.body, fact.key, fact.id), ("study/a", "asked", {"number": 1}, "1", id), "the fact read back")
    ledger.append([_fact("study/a")])
    first, second = ledger.read()
    _true(first.at != 1.0 and first.at <= second.at, f"`at` is the time of appending, not {first.at}, {second.at}")


def duplicates_are_refused(make: Make) -> None:
    """A key is accepted once in a stream, also within one append; elsewhere, and without a key, nothing is refused."""
    ledger = make()
    [first] = ledger.append([_fact("a", key="k", n=1)])
    ids = ledger.append([_fact("a", key="k", n=2), _fact("b", key="k", n=3), _fact("a", key="new", n=4), _fact("a", key="new", n=5), _fact("a"), _fact("a")])
    _equal([id == 0 for id in ids], [True, False, False, True, False, False], f"which of the facts were refused (id 0), after {first}: {ids}")
    _equal([fact.body.get("n") for fact in ledger.read()], [1, 3, 4, None, None], "the facts that stay; the first with a key wins")


def appends_are_all_or_none(make: Make) -> None:
    """If one fact cannot be written, none of its append is, and its key is still free."""
    ledger = make()
    for bad in (_fact("a", x=math.nan), _fact("a", x=[{"y": -math.inf}]), _fact("a", x=object()), Fact("", "kind"), Fact("a/", "kind"), Fact("a", "")):
        _raises(UsageError, partial(ledger.append, [_fact("a", key="k"), bad]), f"{bad} cannot be written")
    _equal(ledger.read(), [], "the facts after appends that failed")
    _true(ledger.append([_fact("a", key="k")])[0] > 0, "a key must be free after the append that wanted it failed")


def reads_are_filtered(make: Make) -> None:
    """Stream, prefix, kind and ``after`` choose what is read."""
    ledger = make()
    streams = ["study/a", "study/b", "study", "study0", "Study/a", "study/a/x", "studie/%", "study/_"]
    ids = ledger.append([_fact(stream, kind) for stream in streams for kind in ("asked", "told")])

    def read(*args: Any, **kwargs: Any) -> list[str]:
        return [fact.stream for fact in ledger.read(*args, **kwargs)]

    _equal(read(kind="told"), streams, "read(kind='told')")
    for stream in streams:
        _equal(read(stream), [stream] * 2, f"read({stream!r})")
    _equal(read("study/", kind="asked"), ["study/a", "study/b", "study/a/x", "study/_"], "read('study/', kind='asked')")
    _equal(read("nothing/"), [], "read('nothing/')")
    _equal(read(kind="nothing"), [], "read(kind='nothing')")
    _equal([fact.id for fact in ledger.read(after=ids[4])], ids[5:], "read(after=...)")
    _equal([fact.id for fact in ledger.read("study/a", after=ids[0])], [ids[1]], "read('study/a', after=...)")
    _equal([read(after=ids[-1]), read(after=2**80)], [[], []], "read() after the last id")
    _equal(len(read(after=-5)), len(ids), "how many facts read(after=-5) gives")
    _equal([fact.id for fact in ledger.read(after=ids[1], limit=3)], ids[2:5], "read(after=..., limit=3)")
    _equal(read("study/", kind="told", limit=2), ["study/a", "study/b"], "read('study/', kind='told', limit=2)")
    _equal([len(read(limit=0)), len(read(limit=100))], [0, len(ids)], "how many facts read() gives with a limit of 0, and of more than there are")


def bodies_are_json(make: Make) -> None:
    """A body comes back equal to itself gone through JSON, digit for digit, and belongs to whoever read it."""
    ledger = make()
    body: dict[str, Any] = {
        "float": 0.1 + 0.2,
        "tiny": 5e-324,
        "zero": -0.0,
        "big": 2**100,
        "none": None,
        "yes": True,
        "tuple": (1, [2, {"3": 4}]),
        "empty": [{}, [], ""],
    }
    ledger.append([Fact("a", "kind", body), Fact("a", "kind")])
    read, empty = ledger.read()
    _equal(read.body, body | {"tuple": [1, [2, {"3": 4}]]}, "the body read back")
    _equal(math.copysign(1, read.body["zero"]), -1.0, "the sign of -0.0 in a body read back")
    _equal(empty.body, {}, "an empty body read back")
    read.body["empty"].append("more")
    body["none"] = "changed"
    _equal([ledger.read()[0].body[name] for name in ("empty", "none")], [[{}, [], ""], None], "a body changed by its writer or reader after the call")


def text_is_unicode(make: Make) -> None:
    """Names and bodies may be in any script, and are told apart letter by letter."""
    ledger = make()
    texts = ["größe", "gröẞe", "Größe", "数据/一", "😀 \n\t'\";--", "e\u0301", "\u00e9", "a b", "%_\\"]
    ids = ledger.append([Fact(text, text, {text: text}, key=text) for text in texts])
    _true(all(ids), f"different texts taken for the same: {ids}")
    for text in texts:
        _equal([(f.stream, f.kind, f.key, f.body) for f in ledger.read(text, kind=text)], [(text, text, text, {text: text})], f"read({text!r})")
        _equal([ledger.claim(text, text, math.inf), ledger.claim(text, "other", 1)], [text, text], f"the owner of {text!r}")
    ledger.append([Fact("bodies", "kind", {"half": "\ud800", "nul": "\0"})])
    _equal(ledger.read("bodies")[0].body, {"half": "\ud800", "nul": "\0"}, "odd characters in a body")


def claims_are_held_by_one(make: Make) -> None:
    """A free key is taken, renewed by its owner, refused to others, and free again when given back."""
    ledger = make()
    _equal(ledger.claim("k", "ann", math.inf), "ann", "who takes a free key")
    _equal(ledger.claim("k", "ann", 1e9), "ann", "who renews")
    _equal(ledger.claim("k", "bob", math.inf), "ann", "who holds a key that another one wants")
    _equal(ledger.claim("other", "bob", math.inf), "bob", "who takes another key")
    _equal(ledger.claim("k", "bob", 0), "ann", "who holds a key that a stranger gives back")
    _equal(ledger.claim("k", "ann", 0), "", "who holds a key given back: nobody")
    _equal(ledger.claim("k", "ann", 0), "", "who holds a free key given back: nobody")
    _equal(ledger.claim("k", "bob", math.inf), "bob", "who takes a key given back")
    for lease in (-1.0, math.nan):
        _raises(UsageError, partial(ledger.claim, "k", "bob", lease), f"lease={lease}")
    _raises(UsageError, partial(ledger.claim, "k", "", 1), "an owner without a name")
    _equal(ledger.read(), [], "facts: a claim is none")


def claims_pass_on(make: Make) -> None:
    """A key passes to another when its lease has run out, or when its holder is named as dead; not when someone else is."""
    ledger = make()
    ledger.claim("k", "ann", math.inf)
    _equal(ledger.claim("k", "bob", math.inf, instead_of="eve"), "ann", "who holds a key when a third one is named dead")
    _equal(ledger.claim("k", "bob", math.inf, instead_of="ann"), "bob", "who holds a key when its holder is named dead")
    _equal(ledger.claim("k", "eve", math.inf, instead_of="ann"), "bob", "who holds a key when two wanted the dead one's place")
    _equal(ledger.claim("k", "eve", 0, instead_of="bob"), "", "who holds a dead one's key given back: nobody")
    ledger.claim("k", "ann", 0.001)
    time.sleep(0.1)
    _equal(ledger.claim("k", "bob", math.inf), "bob", "who takes a key whose lease has run out")
    _equal(ledger.claim("k", "ann", math.inf), "bob", "who holds the key when the former owner comes late")


def facts_stand_or_fall_with_claims(make: Make) -> None:
    """An append with claims takes and gives back keys and writes its facts, or does nothing where a key is held or a fact is there already."""
    ledger = make()

    def append(fact: str | None, *claims: Claim) -> bool:
        before = len(ledger.read())
        ids = ledger.append([_fact("a", key=fact), _fact("b")], claims)
        _equal(len(ledger.read()) - before, sum(map(bool, ids)), f"the facts written by an append that gave {ids}")
        _true(all(ids) or not any(ids), f"an append with claims must write all or nothing, not {ids}")
        return all(ids)

    def holder(key: str) -> str:
        return ledger.claim(key, "nobody else", 0)

    ann, bob = (partial(Claim, owner=owner, lease=1e9) for owner in ("ann", "bob"))
    _true(append("1", ann("k")), "a free key can be claimed with facts")
    _equal(holder("k"), "ann", "who holds a key that was claimed with facts")
    _true(not append("2", bob("free"), bob("k")), "a key that somebody else holds stands in the way of facts")
    _equal(ledger.claim("free", "eve", 1), "eve", "who takes a key that another claimed in vain together with one that was held")
    _true(append("2", ann("k")), "a key can be claimed again by its owner, and a fact that was left out written later")
    _true(not append("2", Claim("k", "ann", 0)), "a fact that is there already stands in the way of claims")
    _equal(holder("k"), "ann", "who holds a key that was given back together with a fact that was there already")
    _true(not append("3", Claim("k", "bob", 0)), "a stranger's giving back stands in the way of facts")
    _true(append("3", Claim("k", "ann", 0)), "a key can be given back with facts")
    _equal(holder("k"), "", "who holds a key that was given back with facts: nobody")
    _true(append("4", ann("k")) and append("5", bob("k", instead_of="ann")), "a dead one's key can be claimed with facts")
    _equal(holder("k"), "bob", "who holds a dead one's key that was claimed with facts")
    _true(append(None, Claim("x", "ann", 0)), "giving back a free key stands in nobody's way")
    _raises(UsageError, partial(ledger.append, [_fact("c")], [ann("y"), bob("y")]), "a key claimed twice at once")
    _raises(UsageError, partial(ledger.append, [_fact("c")], [Claim("y", "ann", -1.0)]), "a negative lease")
    _raises(UsageError, partial(ledger.append, [_fact("c", x=math.nan)], [ann("y")]), "a fact that cannot be written")
    _equal([ledger.read("c"), holder("y")], [[], ""], "what is left of appends that failed")


def blobs_come_back(make: Make) -> None:
    """A blob is found by its SHA-256, however often it was put; anything else is missing."""
    ledger = make()
    for blob in (b"", b"\x00\xff" * 1000, bytes(range(256))):
        digest = ledger.put(blob)
        _equal(digest, hashlib.sha256(blob).hexdigest(), "the name of a blob")
        _equal(ledger.put(blob), digest, "the name of a blob put again")
        _equal(ledger.get(digest), blob, "the blob")
    for digest in ("0" * 64, "../" * 21 + "a", "", "é"):
        _raises(BlobMissing, partial(ledger.get, digest), f"get({digest!r})")
    text: Any = "text"
    _raises(UsageError, partial(ledger.put, text), "a text is no blob")


def threads_share(make: Make) -> None:
    """Threads lose no fact and never hold the same claim or key, nor write with it."""
    ledger = make()

    def work(owner: int) -> tuple[list[int], list[str]]:
        ids = [ledger.append([_fact("a", key=str(n)), _fact(f"of/{owner}")]) for n in range(8)]
        ids += [ledger.append([_fact("held")], [Claim(f"held/{n}", str(owner), math.inf)]) for n in range(8)]
        return [id for pair in ids for id in pair], [ledger.claim(str(n), str(owner), math.inf) for n in range(8)]

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(work, range(4)))
    given = [id for ids, _ in results for id in ids if id]
    _equal(sorted(given), [fact.id for fact in ledger.read()], "the ids four threads were given, and those there are")
    _equal(len(ledger.read("a")), 8, "how many facts with 8 different keys four threads could write")
    _equal(len(ledger.read("held")), 8, "how many facts with a claim on one of 8 keys four threads could write")
    _equal(len(ledger.read("of/")), 32, "how many facts without a key four threads wrote")
    _equal([len({holders[n] for _, holders in results}) for n in range(8)], [1] * 8, "how many holders each key has, as four threads see it")


LEDGER_LAWS: list[Law] = [
    ids_increase,
    facts_come_back,
    duplicates_are_refused,
    appends_are_all_or_none,
    reads_are_filtered,
    bodies_are_json,
    text_is_unicode,
    claims_are_held_by_one,
    claims_pass_on,
    facts_stand_or_fall_with_claims,
    blobs_come_back,
    threads_share,
]


def _fact(stream: str, kind: str = "kind", *, key: str | None = None, **body: Any) -> Fact:
    return Fact(stream, kind, body, key)


def _true(holds: bool, message: str) -> None:
    if not holds:
        raise AssertionError(message)


def _equal(got: Any, wanted: Any, what: str) -> None:
    _true(got == wanted, f"{what}: got {got!r}, wanted {wanted!r}")


def _raises(error: type[StayTunedError], call: Callable[[], Any], what: str) -> None:
    try:
        got = call()
    except error:
        return
    raise AssertionError(f"{what}: wanted {error.__name__}, got {got!r}")
