"""Links into the documents: anchors of a page, and references of a text."""

import re
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
#: As code and tests refer to a document: with the folder, from the root of the repository.
REFERENCE: Final = re.compile(r"(?:cffs/)?docs/([\w-]+\.md)(?:#([\w-]+))?")


def anchors(page: Path) -> set[str]:
    """The anchors that a page's headings give it: lower case, blanks as hyphens, other signs left out."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_references(text: str) -> list[str]:
    """Each reference of a text to a document or heading that does not exist."""
    broken = []
    for match in REFERENCE.finditer(text):
        page = ROOT / "cffs/docs" / match[1]
        if not page.exists() or (match[2] and match[2] not in anchors(page)):
            broken.append(match[0])
    return broken
