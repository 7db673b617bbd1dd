"""What no file may say: unfinished work, where it was made, who talked about it, where packages come from."""

from __future__ import annotations

import re
from collections.abc import Mapping

# A class of one letter keeps each pattern from matching the line that defines it.
FORBIDDEN = {
    r"\b(?:T[O]DO|F[I]XME|X[X]X|H[A]CK)\b|\bfor no[w]\b|[Nn]ot implemented ye[t]": ("finish it or leave it out"),
    r"(?<![\w/.~:}$-])/(?:wor[k]|roo[t]|hom[e]|User[s])/": "a path of one machine; use a path from the repository",
    r"\b[Ii]ssue(?:s|\ number)? #?\d|/tmp/brie[f]|\bsub-?agen[t]|\b[Tt]his sessio[n]\b|\bshared/referenc[e]\b"
    r"|\b(?:Claud[e]|ChatGP[T]|Anthropi[c]|Copilo[t])\b|[Cc]o-[Aa]uthored-[Bb]y": (
        "the text is for readers of the code; say the reason itself"
    ),
    r"\bpypi\.or[g]|pythonhosted\.or[g]|registry\.npmj[s]|conda\.anacond[a]|-{2}(?:extra-)?index-ur[l]"
    r"|-{2}trusted-hos[t]|-{2}find-link[s]|\bPIP_(?:EXTRA_)?INDEX_UR[L]": (
        "where packages come from is the reader's configuration"
    ),
}
_PATTERNS = [(re.compile(pattern), advice) for pattern, advice in FORBIDDEN.items()]


def forbidden_words(texts: Mapping[str, str]) -> list[str]:
    """Findings for lines of any text file that say what no file may say."""
    return [
        f"{path}:{number}: {found.group()!r}: {advice}"
        for path, text in texts.items()
        for number, line in enumerate(text.splitlines(), 1)
        for pattern, advice in _PATTERNS
        if (found := pattern.search(line))
    ]
