"""The poems as the collection `chinese-poetry` ships them: the npm tarball, unpacked or not, or the git repository.

All of them hold JSON files `poet.tang.N.json` and `poet.song.N.json`, lists of poems whose `paragraphs` are sentences
in traditional characters. The files are taken in the order of dynasty and number, whatever holds them.
"""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from recipe.errors import UserError
from recipe.language import N_, _
from recipe.text_files import where_looked

# Other directories hold the same file names with the tones of the poems (strains) or their misprints (error).
_DIRECTORIES = ("quantangshi", "全唐诗")
_FILE_NAME = re.compile(r"poet\.(tang|song)\.(\d+)\.json")
_DYNASTIES = ("tang", "song")
_HOW_TO_GET_IT = N_(
    "`npm pack chinese-poetry@2.0.1` fetches it (85 MB); name the .tgz, or the directory unpacked from it"
)


@dataclass(frozen=True)
class Collection:
    """The poems of all files, and what they were read from.

    Attributes:
        poems: the sentences of each poem, joined, in traditional characters.
        files: names of the files that were read, in order.
        sha256: over the contents of all files in that order, so that it does not depend on the packaging.
    """

    poems: list[str]
    files: list[str]
    sha256: str


def read_collection(path: str | Path) -> Collection:
    """Read every poem below a directory, or inside a tarball.

    Raises:
        UserError: nothing there, a torn tarball, no file of the collection in it, or one that is not as expected.
    """
    path = Path(path)
    if path.is_dir():
        contents = _directory_contents(path)
    elif path.exists():
        contents = _tarball_contents(path)
    else:
        raise UserError(
            _("--poems {path}: no such file or directory{where}. {advice}").format(
                path=path, where=where_looked(path), advice=_(_HOW_TO_GET_IT)
            )
        )
    digest, poems, files = hashlib.sha256(), [], []
    for name, content in sorted(contents, key=lambda item: _place(item[0])):
        digest.update(content)
        files.append(name)
        poems += _poems_of(f"{path}: {name}", content)
    if not poems:
        raise UserError(
            _("--poems {path}: holds no file {one}/poet.tang.N.json or {other}/poet.tang.N.json. {advice}").format(
                path=path, one=_DIRECTORIES[0], other=_DIRECTORIES[1], advice=_(_HOW_TO_GET_IT)
            )
        )
    return Collection(poems, files, digest.hexdigest())


def _place(name: str) -> tuple[int, int]:
    """Return where a file stands in the collection: by dynasty, then by number."""
    match = _FILE_NAME.fullmatch(PurePosixPath(name).name)
    assert match is not None
    return _DYNASTIES.index(match[1]), int(match[2])


def _belongs(path: PurePosixPath | Path) -> bool:
    return path.parent.name in _DIRECTORIES and _FILE_NAME.fullmatch(path.name) is not None


def _directory_contents(directory: Path) -> Iterator[tuple[str, bytes]]:
    for file in directory.resolve().rglob("poet.*.json"):
        if _belongs(file):
            yield file.name, file.read_bytes()


def _tarball_contents(path: Path) -> Iterator[tuple[str, bytes]]:
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                if member.isfile() and _belongs(PurePosixPath(member.name)) and (file := archive.extractfile(member)):
                    yield PurePosixPath(member.name).name, file.read()
    # What the library raises depends on where a file is torn: in a header, in a member, or in the compressed stream.
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            _("--poems {path}: is not a tarball, or a damaged one ({reason}). {advice}").format(
                path=path, reason=reason, advice=_(_HOW_TO_GET_IT)
            )
        ) from None


def _poems_of(name: str, content: bytes) -> list[str]:
    try:
        records = json.loads(content)
        return ["".join(record["paragraphs"]) for record in records]
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(
            _(
                "{name}: is not a list of poems with paragraphs ({reason}). The file is damaged or of another "
                "collection; fetch it again"
            ).format(name=name, reason=f"{type(error).__name__}: {error}")
        ) from None
