"""What a provider is like for a while: fair, or not; and the script that says when it changes."""

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass

FAIR, BROWN, DOWN, SLOW, SILENT, GONE = "fair", "brown", "down", "slow", "silent", "gone"


@dataclass(frozen=True)
class Spell:
    """``measure`` is, of a *brown* one, the share of calls that fail for now; of a *slow* one, seconds for each call;
    of a *silent* one, how many messages it accepts before it falls silent.

    While it is *down*, it ends every connection without a word. While it is *silent*, it takes connections and says
    nothing. While it is *gone*, nobody listens: connections are refused.
    """

    seconds: float
    kind: str
    measure: float = 0.0


class Weather:
    """One spell after the other, from the moment that it is made; fair when all have passed."""

    def __init__(self, spells: Iterable[Spell] = ()) -> None:
        self.began, self.spells = time.monotonic(), list(spells)

    @property
    def now(self) -> Spell:
        passed = time.monotonic() - self.began
        for spell in self.spells:
            passed -= spell.seconds
            if passed < 0:
                return spell
        return Spell(0, FAIR)


def written(spells: Iterable[Spell]) -> str:
    """The script as one line."""
    return json.dumps([[spell.seconds, spell.kind, spell.measure] for spell in spells])


def read(line: str) -> Weather:
    return Weather(Spell(*words) for words in json.loads(line))
