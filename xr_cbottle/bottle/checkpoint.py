"""One cBottle v1 checkpoint file: a network's weights with what is needed to use them.

A zip of four members: ``net_state.pth`` (state dict, by `torch.save`), ``model.json`` (`ModelConfig`),
``batch_info.json`` (`BatchInfo`), ``metadata.json`` (``{"version": 1}``). Others are left alone: training
files carry an optimizer's state. NVlabs/cBottle reads what is written here and the other way round.

Weights are read with ``weights_only=True`` only, after a look at the archive they are in: a pickle in them
that asks for anything but tensors is refused, and runs nothing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import json
import os
import pickletools
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from xr_cbottle.base.plain_text import one_line
from xr_cbottle.bottle import archive, json_text, limits
from xr_cbottle.bottle.architecture import BatchInfo, ModelConfig
from xr_cbottle.bottle.errors import BottleError

if TYPE_CHECKING:
    import torch

VERSION = 1
STATE, MODEL, BATCH, METADATA = "net_state.pth", "model.json", "batch_info.json", "metadata.json"
#: Precisions weights may have on disk; they are float32 in memory.
DISK_TYPES = ("float32", "float16", "bfloat16")

PathOrFile = str | os.PathLike[str] | BinaryIO


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """A network's description, the statistics of its channels, and its weights in float32 on the CPU."""

    config: ModelConfig
    info: BatchInfo
    state: dict[str, torch.Tensor]


def read_part_specs(source: PathOrFile, what: str | None = None) -> tuple[ModelConfig, BatchInfo]:
    """Read the description and the statistics of a checkpoint, without its weights and without torch.

    Parameters
    ----------
    source
        A path, or a seekable binary file, which stays open.
    what
        Its name in messages, if not its path.

    Raises
    ------
    BottleError
        Not a whole v1 checkpoint: truncated, a member missing or too large, an unknown version, the older
        form that is a pickled module, or wrong values.
    """
    with _opened(source, what) as (file, what):
        return _read_specs(file, archive.read_directory(file, what), what)


def check_whole(path: Path) -> None:
    """Check that a file is a whole v1 checkpoint, every member as it was written; its weights are not loaded.

    Raises
    ------
    BottleError
        As `read_part_specs`; also members whose checksum is another.
    """
    with open(path, "rb") as file:
        members = archive.read_directory(file, path.name)
        _read_specs(file, members, path.name)
        try:
            damaged = zipfile.ZipFile(file).testzip()
        except (zipfile.BadZipFile, OSError, ValueError, EOFError) as error:
            raise BottleError(f"{path.name}: this is not a whole zip file ({error}); get it again") from None
    if damaged is not None:
        raise BottleError(f"{path.name}: member {damaged!r} is damaged; get it again")


def read_part(source: PathOrFile, what: str | None = None) -> Part:
    """Read a v1 checkpoint; nothing in it is executed.

    Parameters
    ----------
    source
        A path, or a seekable binary file, which stays open.
    what
        Its name in messages, if not its path.

    Raises
    ------
    BottleError
        As `read_part_specs`; also weights that are not a plain state dict of tensors.
    """
    with _opened(source, what) as (file, what):
        members = archive.read_directory(file, what)
        config, info = _read_specs(file, members, what)
        # Not closed: closing a window closes the file below it, which may be the caller's.
        weights = archive.member_window(file, members[STATE], what)
        try:
            return Part(config, info, _load_state(weights, members[STATE].file_size, f"{what}: {STATE}"))
        finally:
            _release(weights)


def write_part(
    path: str | os.PathLike[str],
    config: ModelConfig,
    info: BatchInfo,
    state: Mapping[str, torch.Tensor],
    dtype: str | None = None,
) -> Path:
    """Write a v1 checkpoint beside `path` and rename it there; equal inputs give equal bytes.

    Parameters
    ----------
    path
        The file to make or replace.
    config, info, state
        What `read_part` gives back.
    dtype
        Precision of the floating weights on disk: ``"float16"`` and ``"bfloat16"`` halve the file. None keeps
        each tensor's own.

    Raises
    ------
    ValueError
        Another `dtype`, or as many statistics as the network has not channels.
    BottleError
        Weights that are not finite, or too large for `dtype`.
    """
    import torch

    if dtype is not None and dtype not in DISK_TYPES:
        raise ValueError(f"dtype must be None or one of {', '.join(DISK_TYPES)}, got {dtype!r}")
    _check_channels(config, info, str(path))
    tensors = {}
    for name, tensor in state.items():
        kept = tensor.detach().to("cpu")
        if kept.is_floating_point():
            kept = kept.to(getattr(torch, dtype)) if dtype else kept
            if not torch.isfinite(kept).all():
                raise BottleError(
                    f"{path}: {name} holds values that are not finite as {kept.dtype}; write it in another dtype"
                )
        # A copy of its own: torch.save would write the whole storage a view looks into.
        tensors[name] = kept.contiguous().clone()
    saved = io.BytesIO()
    torch.save(tensors, saved)
    with archive.replacing(path) as temporary, zipfile.ZipFile(temporary, "w", allowZip64=True) as out:
        archive.add_member(out, STATE, saved.getvalue())
        archive.add_member(out, MODEL, config.to_json().encode())
        archive.add_member(out, BATCH, info.to_json().encode())
        archive.add_member(out, METADATA, json.dumps({"version": VERSION}).encode())
    return Path(path)


def digest(source: PathOrFile) -> str:
    """sha256 of a file in hexadecimal; an open file is read from its start and stays open."""
    with _opened(source) as (file, _):
        file.seek(0)
        return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]


@contextlib.contextmanager
def _opened(source: PathOrFile, what: str | None = None) -> Iterator[tuple[BinaryIO, str]]:
    """The source as a binary file, with its name for messages."""
    if isinstance(source, (str, os.PathLike)):
        try:
            file = open(source, "rb")  # noqa: SIM115  Closed below; what goes wrong there is not about opening.
        except OSError as error:
            reason = error.strerror or error
            raise BottleError(f"{os.fspath(source)}: it cannot be read ({reason}); give another path") from None
        with file:
            yield file, what or os.fspath(source)
    else:
        yield source, what or "the part"


def _release(window: io.BufferedReader) -> None:
    """Let a window go without closing the file it looks into."""
    raw = window.detach()
    assert isinstance(raw, archive.MemberWindow)  # as `archive.member_window` makes it
    raw.release()


def _read_specs(file: BinaryIO, members: Mapping[str, zipfile.ZipInfo], what: str) -> tuple[ModelConfig, BatchInfo]:
    if METADATA not in members:
        if STATE in members:
            raise BottleError(
                f"{what}: there is no {METADATA}, so this is the older form of checkpoint, a pickled Python "
                "module, which is never loaded because loading it would run code; write it as version 1 with "
                "NVlabs/cBottle"
            )
        raise BottleError(
            f"{what}: there is no {METADATA}; a cBottle v1 checkpoint holds {STATE}, {MODEL}, {BATCH} and {METADATA}"
        )
    missing = [name for name in (STATE, MODEL, BATCH) if name not in members]
    if missing:
        raise BottleError(
            f"{what}: member {missing[0]} is missing; a cBottle v1 checkpoint holds {STATE}, {MODEL}, "
            f"{BATCH} and {METADATA}"
        )

    def text(name: str) -> bytes:
        if members[name].file_size > limits.JSON_BYTES:
            raise BottleError(
                f"{what}: {name} has {members[name].file_size} bytes; at most {limits.JSON_BYTES} are read"
            )
        window = archive.member_window(file, members[name], what)
        try:
            return window.read()
        finally:
            _release(window)

    metadata, model, batch = text(METADATA), text(MODEL), text(BATCH)
    try:
        version = json_text.read_object(metadata, METADATA)["version"]
    except (BottleError, KeyError):
        raise BottleError(f'{what}: {METADATA} must be {{"version": {VERSION}}}; get the file again') from None
    if isinstance(version, bool) or version != VERSION:
        raise BottleError(
            f"{what}: checkpoint version {one_line(repr(version), 40)} is not known; this xr_cbottle reads version "
            f"{VERSION}"
        )
    try:
        config, info = ModelConfig.from_json(model), BatchInfo.from_json(batch)
    except ValueError as error:
        raise BottleError(f"{what}: {error}") from None
    _check_channels(config, info, what)
    return config, info


def _check_channels(config: ModelConfig, info: BatchInfo, what: str) -> None:
    if config.out_channels != len(info.channels):
        raise BottleError(
            f"{what}: {MODEL} says {config.out_channels} channels and {BATCH} names {len(info.channels)}; "
            "they must agree"
        )


def _load_state(file: BinaryIO, size: int, what: str) -> dict[str, torch.Tensor]:
    """A state dict from a torch archive inside a checkpoint."""
    import torch

    refusal = f"{what} is not a plain state dict of tensors"
    # torch would inflate compressed records without a bound, and still knows two forms before the zip.
    records = archive.read_directory(file, what)
    if not any(name.endswith("/data.pkl") or name == "data.pkl" for name in records):
        raise BottleError(f"{refusal}: there is no data.pkl in it; it must be written by torch.save")
    _check_pickle(file, records, refusal)
    file.seek(0)
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # Whatever is wrong inside is one thing to the user: not weights.
        reason = " ".join(str(error).split())
        for noise in ("Weights only load failed.", "Please file an issue"):
            reason = reason.replace(noise, "")
        raise BottleError(
            f"{refusal} and nothing in it was executed; do not trust this file ({reason.strip()[:160]})"
        ) from None
    if not isinstance(state, Mapping) or not all(isinstance(key, str) for key in state):
        raise BottleError(f"{refusal}: it holds a {type(state).__name__}")
    tensors, total = {}, 0
    for name, tensor in state.items():
        dense = isinstance(tensor, torch.Tensor) and tensor.layout == torch.strided
        if not dense or tensor.device.type != "cpu":
            raise BottleError(f"{refusal}: {name} is a {type(tensor).__name__} that is not dense")
        # A few bytes can claim any shape with strides of 0; a real weight has its bytes in the file.
        claimed = tensor.numel() * tensor.element_size()
        total += claimed
        if claimed > min(tensor.untyped_storage().nbytes(), size) or total > 2 * size:
            raise BottleError(f"{refusal}: {name} claims more values than the file holds")
        if tensor.is_complex():
            raise BottleError(f"{refusal}: {name} holds complex numbers")
        tensors[name] = tensor.float() if tensor.is_floating_point() else tensor
        if tensor.is_floating_point() and not torch.isfinite(tensors[name]).all():
            raise BottleError(f"{what}: {name} holds values that are not finite; the network was spoilt: get it again")
    return tensors


#: What the pickle of a state dict names: dictionaries, tensors and their storages.
_PICKLED = {
    "collections OrderedDict", "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter", "torch Size",
}  # fmt: skip


def _check_pickle(file: BinaryIO, records: Mapping[str, zipfile.ZipInfo], refusal: str) -> None:
    """Check that the pickle among the records is short and names nothing but tensors."""
    name = next(name for name in records if name.endswith("/data.pkl") or name == "data.pkl")
    if records[name].file_size > limits.PICKLE_BYTES:
        raise BottleError(f"{refusal}: its names have {records[name].file_size} bytes; at most {limits.PICKLE_BYTES}")
    window = archive.member_window(file, records[name], refusal)
    try:
        text = window.read()
    finally:
        _release(window)
    try:
        named = {str(argument) for code, argument, _ in pickletools.genops(text) if code.name in _NAMING}
    except Exception as error:  # pickletools has no words of its own for what is no pickle.
        raise BottleError(f"{refusal}: its data.pkl is damaged ({one_line(error, 100)})") from None
    strange = {one for one in named - _PICKLED if not re.fullmatch(r"torch [A-Za-z0-9]+Storage", one)}
    if strange:
        raise BottleError(
            f"{refusal} and nothing in it was executed; do not trust this file (it names "
            f"{one_line(', '.join(sorted(strange)), 160)})"
        )


_NAMING = ("GLOBAL", "INST", "STACK_GLOBAL", "EXT1", "EXT2", "EXT4")
