"""Search that finds Japanese words: their text has no blanks, so it is indexed by pairs of characters."""

from __future__ import annotations

import re

from sphinx.search.en import SearchEnglish

JAPANESE = (
    "\\u3040-\\u30ff\\u3400-\\u9fff\\uff66-\\uff9f"  # kana and kanji, as Python and JavaScript write them
)
PARTS = re.compile(f"[{JAPANESE}]+|[^\\W{JAPANESE}]+")


class SearchWords(SearchEnglish):
    """English words, and pairs of Japanese characters."""

    # The same in the browser, for what is typed.
    js_splitter_code = f"""
function splitQuery(query) {{
  const runs = query.match(/[{JAPANESE}]+|[\\p{{L}}\\p{{N}}_]+/gu) || [];
  return runs
    .flatMap((run) => run.match(/[{JAPANESE}]+|[^{JAPANESE}]+/gu) || [])
    .flatMap((run) =>
      /[{JAPANESE}]/.test(run) && run.length > 2
        ? [...Array(run.length - 1).keys()].map((i) => run.slice(i, i + 2))
        : [run]
    );
}}
"""

    def split(self, input: str) -> list[str]:
        """The words of a text."""
        words = []
        for part in PARTS.findall(input):
            if re.match(f"[{JAPANESE}]", part) and len(part) > 2:
                words += [part[i : i + 2] for i in range(len(part) - 1)]
            else:
                words.append(part)
        return words
