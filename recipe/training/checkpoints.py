"""Checkpoints on disk: which there are, whether they are whole, written without being seen half-done, and rotated.

- A checkpoint is written into a hidden directory beside its place, flushed, listed in `manifest.json` with sizes and
  checksums, and renamed: under the name `checkpoint-N` it is whole.
- Only a checkpoint whose every file matches its manifest counts; a damaged one is set aside under another name.
- The manifest carries the identity of the run (data, tokenizer, seed, batch, model), which a resume compares.
- Rotation goes by step number and keeps the best.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import xxhash
from transformers.trainer import TRAINER_STATE_NAME
from transformers.utils import SAFE_WEIGHTS_NAME

from recipe.errors import UserError, notice
from recipe.files import sync, write_text
from recipe.run_directory import REMOVING_PREFIX, WRITING_PREFIX, checkpoint_directory, checkpoints_by_step

Identity = Mapping[str, str | int | float]

MANIFEST_NAME = "manifest.json"
# Checksums are there to find damage, not forgery: nothing that is loaded can execute anything, whoever wrote it. This
# one runs at the speed of memory on every machine, where SHA-256 would make a save half as long again. (`datasets`
# needs xxhash, so it is installed wherever this runs.)
_CHECKSUM = "xxh3_128"
_STATE_FILES = (SAFE_WEIGHTS_NAME, "optimizer.pt", "scheduler.pt", TRAINER_STATE_NAME)


# ---- Reading: which checkpoints there are, and whether they are whole ----


def read_manifest(checkpoint: Path) -> dict[str, Any]:
    """Return a checkpoint's manifest.

    Raises:
        ValueError: the manifest is missing, is not JSON, or lacks one of its parts.
    """
    try:
        manifest = json.loads((checkpoint / MANIFEST_NAME).read_text(encoding="utf-8"))
        files = {str(name): (int(entry["bytes"]), str(entry[_CHECKSUM])) for name, entry in manifest["files"].items()}
        return {
            "step": int(manifest["step"]),
            "processes": int(manifest["processes"]),
            "identity": dict(manifest["identity"]),
            "files": files,
        }
    except FileNotFoundError:
        raise ValueError(f"it has no {MANIFEST_NAME}: it was never finished, or another program wrote it") from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"its {MANIFEST_NAME} cannot be read ({type(error).__name__}: {error})") from None


def problems_of(checkpoint: Path) -> list[str]:
    """Compare every file of a checkpoint with its manifest and return what is wrong; nothing means whole."""
    try:
        manifest = read_manifest(checkpoint)
    except ValueError as error:
        return [str(error)]
    files: dict[str, tuple[int, str]] = manifest["files"]
    problems = [f"{name} is missing" for name in _required_files(manifest) if name not in files]
    if checkpoint.name != checkpoint_directory(checkpoint.parent, manifest["step"]).name:
        problems.append(f"its manifest belongs to step {manifest['step']}")
    for name, (size, checksum) in files.items():
        path = checkpoint / name
        if not path.is_file():
            problems.append(f"{name} is missing")
        elif path.stat().st_size != size:
            problems.append(f"{name} has {path.stat().st_size} bytes instead of {size}")
        elif file_checksum(path) != checksum:
            problems.append(f"{name} does not match its checksum")
    return problems


def newest_verified_checkpoint(output_dir: str | Path) -> Path | None:
    """Return the newest checkpoint that is whole, or None; damaged ones on the way are named and set aside."""
    for path in reversed(checkpoints_by_step(output_dir).values()):
        problems = problems_of(path)
        if not problems:
            return path
        aside = _set_aside(path)
        notice(f"{path} is damaged and is not used: {'; '.join(problems)}. It now stands as {aside.name}.")
    return None


def check_same_run(checkpoint: Path, run_identity: Identity, allow_changed: bool = False) -> None:
    """Compare what must not change within a run with what the checkpoint was written under.

    Raises:
        UserError: something differs and `allow_changed` is off. All differences stand in one message.
    """
    written: dict[str, Any] = read_manifest(checkpoint)["identity"]
    differences = [
        f"{key}: {written.get(key, 'not there')} in the checkpoint, {run_identity.get(key, 'not there')} now"
        for key in sorted(written.keys() | run_identity.keys())
        if written.get(key) != run_identity.get(key)
    ]
    if not differences:
        return
    listed = "".join(f"\n    {difference}" for difference in differences)
    if not allow_changed:
        raise UserError(
            f"{checkpoint} belongs to a run with other settings:{listed}\n"
            "  Put them back to go on exactly, start anew in another --output_dir, or go on knowingly with "
            "--allow_changed."
        )
    notice(f"Going on from {checkpoint} although this changed:{listed}\n  The result will not equal an unbroken run's.")


def _required_files(manifest: dict[str, Any]) -> list[str]:
    """Return the files without which the library would go on silently with fresh state (#40790)."""
    processes = manifest["processes"]
    random_states = [f"rng_state_{rank}.pth" for rank in range(processes)] if processes > 1 else ["rng_state.pth"]
    return [*_STATE_FILES, *random_states, *(progress_name(rank) for rank in range(processes))]


def progress_name(rank: int) -> str:
    """Return the name of the file that holds what is still open in one process: see `CheckpointedTrainer.progress`."""
    return f"progress_{rank}.json"


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

    def take_finished(self, pattern: str = "*") -> None:
        """Start on every file of that name that has appeared since the last call; all of them must be complete."""
        for path in sorted(self.directory.rglob(pattern)):
            name = path.relative_to(self.directory).as_posix()
            if path.is_file() and name not in self._jobs:
                self._jobs[name] = (self._pool.submit(sync, path), self._pool.submit(file_checksum, path))

    def put_in_place(self, processes: int, identity: Identity) -> None:
        """List all files in the manifest and give the checkpoint its name; from here on it counts."""
        manifest = {"step": self.step, "processes": processes, "identity": identity, "files": self._entries()}
        write_text(self.directory / MANIFEST_NAME, json.dumps(manifest, indent=1, ensure_ascii=False))
        self.directory.rename(self._target)
        sync(self._target.parent)

    def _entries(self) -> dict[str, dict[str, int | str]]:
        """Wait until all files are on disk and return size and checksum of each by name."""
        self.take_finished()
        for flushed, _ in self._jobs.values():
            flushed.result()
        return {
            name: {"bytes": (self.directory / name).stat().st_size, _CHECKSUM: checksum.result()}
            for name, (_, checksum) in self._jobs.items()
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
