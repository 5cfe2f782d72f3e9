"""Checkpoints on disk: which there are, whether they are whole, written without being seen half-done, and rotated.

- A checkpoint is written into a hidden directory beside its place, flushed, listed in `manifest.json` with sizes and
  checksums, and renamed: under the name `checkpoint-N` it is whole.
- Only a checkpoint whose every file matches its manifest counts; a damaged one is set aside under another name.
- Where processes share a model out among them, each lists its own files in a manifest of its own, `manifest_N.json`, so
  that none reads what another has written; `manifest.json` lists those, and is written last.
- The manifest carries the identity of the run (data, tokenizer, seed, batch, model), which a resume compares.
- Rotation goes by step number and keeps the best.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import xxhash
from transformers.trainer import TRAINER_STATE_NAME
from transformers.utils import SAFE_WEIGHTS_NAME

from recipe.errors import UserError, notice
from recipe.files import sync, write_text
from recipe.language import _
from recipe.run_directory import REMOVING_PREFIX, WRITING_PREFIX, checkpoint_directory, checkpoints_by_step

Identity = Mapping[str, str | int | float]

MANIFEST_NAME = "manifest.json"
# Checksums are there to find damage, not forgery: nothing that is loaded can execute anything, whoever wrote it. This
# one runs at the speed of memory on every machine, where SHA-256 would make a save half as long again. (`datasets`
# needs xxhash, so it is installed wherever this runs.)
_CHECKSUM = "xxh3_128"
_STATE_FILES = ("scheduler.pt", TRAINER_STATE_NAME)
_WHOLE_FILES = (SAFE_WEIGHTS_NAME, "optimizer.pt")


# ---- Reading: which checkpoints there are, and whether they are whole ----


def read_manifest(checkpoint: Path) -> dict[str, Any]:
    """Return a checkpoint's manifest; of a sharded one's files it lists only those that no process lists itself.

    Raises:
        ValueError: the manifest is missing, is not JSON, or lacks one of its parts.
    """
    with _explained(MANIFEST_NAME):
        manifest = json.loads((checkpoint / MANIFEST_NAME).read_text(encoding="utf-8"))
        return {
            "step": int(manifest["step"]),
            "processes": int(manifest["processes"]),
            "sharded": bool(manifest.get("sharded", False)),
            "identity": dict(manifest["identity"]),
            "files": _files_of(manifest),
        }


def is_sharded(checkpoint: Path) -> bool:
    """Whether weights and optimizer state of a checkpoint stand in shards; ValueError as of `read_manifest`."""
    return bool(read_manifest(checkpoint)["sharded"])


def problems_of(checkpoint: Path) -> list[str]:
    """Compare every file of a checkpoint with its manifest and return what is wrong; nothing means whole."""
    try:
        manifest = read_manifest(checkpoint)
        files: dict[str, tuple[int, str]] = manifest["files"]
        problems = [_missing(name) for name in _required_files(manifest) if name not in files]
        if checkpoint.name != checkpoint_directory(checkpoint.parent, manifest["step"]).name:
            problems.append(_("its manifest belongs to step {step}").format(step=manifest["step"]))
        problems += _mismatches(checkpoint, files)
        if not problems and manifest["sharded"]:
            for rank in range(manifest["processes"]):
                problems += _mismatches(checkpoint, _read_part(checkpoint, rank))
    except ValueError as error:
        return [str(error)]
    return problems


def _read_part(checkpoint: Path, rank: int) -> dict[str, tuple[int, str]]:
    """Return bytes and checksum of each file that a process has listed in its own manifest."""
    with _explained(part_name(rank)):
        return _files_of(json.loads((checkpoint / part_name(rank)).read_text(encoding="utf-8")))


def _files_of(manifest: dict[str, Any]) -> dict[str, tuple[int, str]]:
    return {str(name): (int(entry["bytes"]), str(entry[_CHECKSUM])) for name, entry in manifest["files"].items()}


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turn whatever a manifest does that is missing or not one into a ValueError that says so."""
    try:
        yield
    except FileNotFoundError:
        raise ValueError(
            _("it has no {name}: it was never finished, or another program wrote it").format(name=name)
        ) from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(
            _("its {name} cannot be read ({kind}: {error})").format(name=name, kind=type(error).__name__, error=error)
        ) from None


def _mismatches(checkpoint: Path, files: Mapping[str, tuple[int, str]]) -> list[str]:
    problems = []
    for name, (size, checksum) in files.items():
        path = checkpoint / name
        if not path.is_file():
            problems.append(_missing(name))
        elif path.stat().st_size != size:
            problems.append(
                _("{name} has {found} bytes instead of {size}").format(name=name, found=path.stat().st_size, size=size)
            )
        elif file_checksum(path) != checksum:
            problems.append(_("{name} does not match its checksum").format(name=name))
    return problems


def _missing(name: str) -> str:
    return _("{name} is missing").format(name=name)


def newest_verified_checkpoint(output_dir: str | Path) -> Path | None:
    """Return the newest checkpoint that is whole, or None; damaged ones on the way are named and set aside."""
    for path in reversed(checkpoints_by_step(output_dir).values()):
        problems = problems_of(path)
        if not problems:
            return path
        aside = _set_aside(path)
        notice(
            _("{checkpoint} is damaged and is not used: {problems}. It is now called {name}.").format(
                checkpoint=path, problems=_("; ").join(problems), name=aside.name
            )
        )
    return None


def check_same_run(checkpoint: Path, run_identity: Identity, allow_changed: bool = False) -> None:
    """Compare what must not change within a run with what the checkpoint was written under.

    Raises:
        UserError: something differs and `allow_changed` is off. All differences stand in one message.
    """
    written: dict[str, Any] = read_manifest(checkpoint)["identity"]
    differences = [
        _("{name}: {written} in the checkpoint, {now} now").format(
            name=_(key), written=written.get(key, _("not there")), now=run_identity.get(key, _("not there"))
        )
        for key in sorted(written.keys() | run_identity.keys())
        if written.get(key) != run_identity.get(key)
    ]
    if not differences:
        return
    listed = "".join(f"\n    {difference}" for difference in differences)
    if not allow_changed:
        raise UserError(
            _(
                "{checkpoint} belongs to a run with other settings:{differences}\n"
                "  Put them back to go on exactly, start anew in another --output_dir, or accept the change with "
                "--allow_changed."
            ).format(checkpoint=checkpoint, differences=listed)
        )
    notice(
        _(
            "Going on from {checkpoint} although this changed:{differences}\n"
            "  The result will differ from that of an uninterrupted run."
        ).format(checkpoint=checkpoint, differences=listed)
    )


def _required_files(manifest: dict[str, Any]) -> list[str]:
    """Return the files without which the library would go on silently with fresh state (#40790)."""
    processes = manifest["processes"]
    random_states = [f"rng_state_{rank}.pth" for rank in range(processes)] if processes > 1 else ["rng_state.pth"]
    if manifest["sharded"]:
        return [*_STATE_FILES, *map(part_name, range(processes))]  # which list the rest
    return [*_STATE_FILES, *_WHOLE_FILES, *random_states, *map(progress_name, range(processes))]


def progress_name(rank: int) -> str:
    """Return the name of the file that holds what is still open in one process: see `CheckpointedTrainer.progress`."""
    return f"progress_{rank}.json"


def part_name(rank: int) -> str:
    """Return the name of the manifest in which one of several processes lists its own files."""
    return f"manifest_{rank}.json"


def _set_aside(checkpoint: Path) -> Path:
    names = [f"{checkpoint.name}.damaged", *(f"{checkpoint.name}.damaged-{number}" for number in range(2, 1000))]
    aside = next(path for path in map(checkpoint.with_name, names) if not path.exists())
    return checkpoint.rename(aside)


# ---- Writing: flush and checksum in the background, remove by renaming ----


class Sealer:
    """Gathers the files of a checkpoint in a hidden directory, then gives it its name.

    Finished files are flushed and checksummed while the next ones are being written. Both wait for the disk or run
    outside the interpreter's lock, so they cost the writer next to nothing.

    Attributes:
        directory: where the files of the checkpoint are to be written.
    """

    def __init__(self, output_dir: Path, step: int) -> None:
        self.step = step
        self._target = checkpoint_directory(output_dir, step)
        self.directory = self._target.with_name(f"{WRITING_PREFIX}{self._target.name}")
        self._pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="seal")
        self._jobs: dict[str, tuple[Future[None], Future[str]]] = {}

    def take_finished(self, pattern: str = "*", listed_elsewhere: Collection[str] = ()) -> None:
        """Start on every file of that name that has appeared since the last call; all of them must be complete."""
        for path in sorted(self.directory.rglob(pattern)):
            name = path.relative_to(self.directory).as_posix()
            if path.is_file() and name not in self._jobs and name not in listed_elsewhere:
                self._jobs[name] = (self._pool.submit(sync, path), self._pool.submit(file_checksum, path))

    def write_part(self, rank: int) -> None:
        """List the files taken so far, all of this process, in its own manifest; the last thing that it writes."""
        write_text(self.directory / part_name(rank), json.dumps({"files": self._entries()}, indent=1))

    def put_in_place(self, processes: int, identity: Identity, sharded: bool = False) -> None:
        """List all files in the manifest and give the checkpoint its name; from here on it counts.

        Args:
            sharded: each process has listed its own files; what remains is listed here.
        """
        listed = [name for rank in range(processes if sharded else 0) for name in _read_part(self.directory, rank)]
        self.take_finished(listed_elsewhere=listed)
        files = {name: entry for name, entry in self._entries().items() if name not in listed}
        manifest = {"step": self.step, "processes": processes, "sharded": sharded, "identity": identity, "files": files}
        write_text(self.directory / MANIFEST_NAME, json.dumps(manifest, indent=1, ensure_ascii=False))
        self.directory.rename(self._target)
        sync(self._target.parent)

    def _entries(self) -> dict[str, dict[str, int | str]]:
        """Wait until the files that were taken are on disk and return size and checksum of each by name."""
        for flushed, _checksum in self._jobs.values():
            flushed.result()
        return {
            name: {"bytes": (self.directory / name).stat().st_size, _CHECKSUM: checksum.result()}
            for name, (_flushed, checksum) in self._jobs.items()
        }

    def close(self) -> None:
        """Wait for the threads; a file that is being deleted must not be open."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def discard(self) -> None:
        """Remove what was written of a checkpoint that will not be completed."""
        shutil.rmtree(self.directory, ignore_errors=True)


def file_checksum(path: Path) -> str:
    """Return the XXH3-128 of a file's bytes as 32 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, xxhash.xxh3_128).hexdigest()


def rotate(output_dir: Path, keep: int | None, best_step: int | None) -> None:
    """Remove the checkpoints with the lowest steps until `keep` are left, never the one of `best_step`.

    The library goes by modification time, since runs may share a directory there (transformers#37260); a copy or a
    restored backup changes those times. Here a run has its directory for itself. None or 0 keeps all.
    """
    if not keep:
        return
    # What another program left under such a name is not ours to remove.
    by_step = {step: path for step, path in checkpoints_by_step(output_dir).items() if (path / MANIFEST_NAME).is_file()}
    for step in list(by_step)[:-keep]:
        if step != best_step:
            _remove(by_step[step])


def remove_leftovers(output_dir: Path) -> None:
    """Remove what a killed run was writing or deleting. Only for the process that owns the run's directory."""
    for pattern in (f"{WRITING_PREFIX}*", f"{REMOVING_PREFIX}*"):
        for path in output_dir.glob(pattern):
            shutil.rmtree(path, ignore_errors=True)


def _remove(checkpoint: Path) -> None:
    # Renamed first, so that half of one never looks whole.
    doomed = checkpoint.rename(checkpoint.with_name(f"{REMOVING_PREFIX}{checkpoint.name}"))
    shutil.rmtree(doomed, ignore_errors=True)
