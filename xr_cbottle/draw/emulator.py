"""A loaded bottle: it draws instants.

An instant is one (label, seed, member, time): all channels of the globe, drawn together by one solution of
the diffusion ODE. Its latents are a pure function of it (`xr_cbottle.draw.noise`, or where neighbouring instants are to
be weather that goes on, `xr_cbottle.draw.coherent_noise`), and batches are padded to one shape, so that an instant has
the same values whatever it is drawn with.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr

from xr_cbottle.base.forks import Lock
from xr_cbottle.bottle.bottle import Bottle, open_bottle
from xr_cbottle.bottle.errors import BottleError
from xr_cbottle.bottle.manifest import unforced
from xr_cbottle.bottle.sampler import SamplerDefaults, evaluations
from xr_cbottle.draw import noise
from xr_cbottle.draw.arithmetic import drawing
from xr_cbottle.draw.bounds import Bounds
from xr_cbottle.draw.coherent_noise import Parts, spacing_of
from xr_cbottle.draw.conditions import Driving
from xr_cbottle.draw.defaults import BRIDGE, FROM_STATES, LATENTS, default_batch_size
from xr_cbottle.draw.label_denoisers import LabelDenoisers
from xr_cbottle.draw.models import Model, choose_device, load_model
from xr_cbottle.draw.normalisation import Normalisation
from xr_cbottle.draw.once import Once
from xr_cbottle.draw.padded_batch import PaddedBatch
from xr_cbottle.fields.sst import SeaSurfaceTemperature
from xr_cbottle.grid import healpix
from xr_cbottle.network import edm

if TYPE_CHECKING:
    import os

    from xr_cbottle.bottle.climatology import Climatology
    from xr_cbottle.fields.series import Series
    from xr_cbottle.fields.sst_offset import SstOffset


class Instant(NamedTuple):
    """One draw: all channels of the globe for one label, seed, member and time."""

    label: str | None
    seed: int
    member: int
    time: np.datetime64


@dataclasses.dataclass(frozen=True)
class Sampler:
    """A solver and its noise levels, from ``sigma_max`` to ``sigma_min``, spaced by ``rho`` (EDM's eq. 5).

    Where ``sigmas`` is given it holds the levels themselves, descending, ``num_steps`` of them.
    """

    num_steps: int
    sigma_min: float
    sigma_max: float
    rho: float = 7.0
    solver: str = "heun"
    sigmas: tuple[float, ...] = ()

    @classmethod
    def of(cls, default: SamplerDefaults) -> Sampler:
        """Make the sampler of a bottle's default settings, with the levels that it chose for them if there are."""
        values = {field.name: getattr(default, field.name) for field in dataclasses.fields(cls)}
        return cls(**{**values, "sigmas": default.chosen(default.num_steps)})

    @property
    def evaluations(self) -> int:
        """Evaluations of the network for one batch."""
        return evaluations(self.solver, self.num_steps)

    def levels(self) -> torch.Tensor:
        """Noise levels, float64: ``num_steps`` of them, descending, and 0."""
        if self.sigmas:
            return torch.tensor([*self.sigmas, 0.0], dtype=torch.float64)
        return edm.edm_schedule(self.num_steps, self.sigma_min, self.sigma_max, self.rho)


class Emulator:
    """A bottle that draws instants with its networks.

    The networks are shared with all emulators of the bottle, and are loaded again if others took their memory.

    Parameters
    ----------
    bottle
        From `xr_cbottle.open_bottle`, or the name, path or URL of one.
    device
        ``"cpu"``, ``"cuda"``, ``"cuda:1"``; the GPU if there is one.
    precision
        ``float32``; on a GPU also ``tf32``, ``bfloat16`` or ``float16`` for the network. The state of
        the ODE is float64 in any case.
    sampler
        Settings of the ODE solver; the bottle's own if None.
    batch_size
        Instants drawn at once. It is part of what the last bits of values depend on.
    sst
        A sea surface temperature instead of the bottle's.
    sst_offset
        What is added to it, or to the bottle's.
    forcings
        Series of forcings by their names, instead of the bottle's.
    coherence
        None: instants are independent of each other. Seconds: latents change slowly, such that their correlation falls
        to 1 / e in so long. ``"latents"``: as slowly, and travelling as fast, as the bottle carries for each scale.
        ``"bridge"``, ``"video"``: as the latter, if the bottle carries that, of states that others are drawn from
        (`xr_cbottle.draw.bridge`, `xr_cbottle.draw.video`); it draws no instants then.

    Attributes
    ----------
    gaps
        Cells in which the labels' data have no values; None if they have all.
    drawn, ahead
        Instants drawn so far by this object because they were asked for, and to fill a batch with what may be asked
        for next; padding of batches does not count.
    """

    def __init__(
        self,
        bottle: Bottle | str | os.PathLike[str],
        *,
        device: str | torch.device | None = None,
        precision: str = "float32",
        sampler: Sampler | None = None,
        batch_size: int | None = None,
        sst: SeaSurfaceTemperature | None = None,
        sst_offset: SstOffset | None = None,
        forcings: Mapping[str, Series] | None = None,
        coherence: int | str | None = None,
    ) -> None:
        opened = bottle if isinstance(bottle, Bottle) else open_bottle(bottle)
        self.bottle = opened.settled(sst=sst is None, role=str(coherence) if coherence in FROM_STATES else None)
        manifest = self.bottle.manifest
        self.zoom = manifest.zoom
        self.channels = manifest.channels
        self.sampler = sampler or Sampler.of(manifest.sampler)
        self.batch_size = batch_size or default_batch_size(self.zoom)
        self.precision = precision
        self.sst = (sst or _own_sst(self.bottle)).changed(sst_offset)
        given = forcings or {}
        if unknown := [name for name in given if name not in manifest.forcings]:
            raise ValueError(unforced(manifest, unknown))
        self.forcings = {name: given.get(name) or spec.series(name) for name, spec in manifest.forcings.items()}
        self.coherence = coherence
        self._known_parts: dict[str | None, Parts] = {}
        self._carried = self.bottle.coherence() if coherence in (LATENTS, *FROM_STATES) else None
        self.gaps = self.bottle.gaps()
        self.device = choose_device(device)
        self.drawn = self.ahead = 0
        self._lock = Lock()
        load_model(self.bottle, self.device, precision)

    def __repr__(self) -> str:
        name = self.bottle.manifest.name
        return f"<Emulator {name!r} on {self.device}: {len(self.channels)} channels, zoom {self.zoom}>"

    @property
    def model(self) -> Model:
        """The networks in memory, loaded again if others have taken their place."""
        return load_model(self.bottle, self.device, self.precision)

    @property
    def climatology(self) -> Climatology | None:
        """Mean and spread that the networks draw anomalies from; None if they draw the fields themselves."""
        return self.model.climatology

    def draw(
        self, times: Any, member: int = 0, seed: int = 0, label: str | None = None, *, progress: bool = True
    ) -> xr.DataArray:
        """Draw all channels at given times.

        Parameters
        ----------
        times
            One time or many: datetime64 or ISO-8601 text, on whole seconds.
        member, seed
            Realisation, and seed of all realisations.
        label
            Data set to imitate; the bottle's default if None.
        progress
            Show a bar if there are many.

        Returns
        -------
        (time, channel, cell NEST) float32 in the channels' own units (Z in m2 s-2); SST and sea ice have
        values over land too, and all channels in the bottle's gaps, without a meaning.

        Raises
        ------
        ValueError
            If the bottle does not have the label, or a number is outside its range.
        """
        from tqdm.auto import tqdm

        stamps = np.atleast_1d(np.asarray(times, "datetime64[s]"))
        instants = [Instant(label, seed, member, time) for time in stamps]
        bar = tqdm(total=len(stamps), unit="instant", disable=not progress or len(stamps) <= self.batch_size)
        with bar:
            values = self._draw(instants, bar.update)
        coords = {"time": stamps.astype("datetime64[ns]"), "channel": list(self.channels)}
        return xr.DataArray(values, coords, ("time", "channel", "cell"))

    def draw_instants(self, instants: Sequence[Instant]) -> npt.NDArray[np.float32]:
        """Draw instants in batches of one shape: (instant, channel, cell NEST) in the channels' units."""
        return self._draw(instants, lambda count: None)

    def count_drawn(self, count: int) -> None:
        """Count so many instants more that were drawn."""
        with self._lock:
            self.drawn += count

    def count_ahead(self, count: int) -> None:
        """Count so many of the instants drawn last as those that nobody had asked for."""
        with self._lock:
            self.drawn -= count
            self.ahead += count

    def _draw(self, instants: Sequence[Instant], done: Callable[[int], object]) -> npt.NDArray[np.float32]:
        if self.coherence in FROM_STATES:
            others = "between others" if self.coherence == BRIDGE else "from others"
            raise ValueError(
                f"an emulator draws no instants {others}: open a data set with coherence={self.coherence!r}"
            )
        values = np.empty((len(instants), len(self.channels), healpix.n_cells(self.zoom)), np.float32)
        by_label: dict[str | None, list[int]] = {}
        for i, instant in enumerate(instants):
            by_label.setdefault(self.bottle.manifest.label(instant.label), []).append(i)
        for label, members in by_label.items():
            for start in range(0, len(members), self.batch_size):
                batch = members[start : start + self.batch_size]
                values[batch] = self._draw_batch(label, [instants[i] for i in batch])
                done(len(batch))
        return values

    def _draw_batch(self, label: str | None, instants: list[Instant]) -> npt.NDArray[np.float32]:
        times = np.array([instant.time for instant in instants], "datetime64[s]")
        drawn = self.solve(label, instants, self.sampler)
        with drawing(self.precision):
            values = self.physical(drawn, label, times)
        self.finite(values)
        self.count_drawn(len(instants))
        return values.astype(np.float32)

    def finite(self, values: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.floating[Any]]:
        """Give the values back, if all are finite; otherwise it is an error that says why."""
        if not np.isfinite(values).all():
            gave = f"{self.bottle.manifest.name} gave values that are not finite in precision {self.precision!r}"
            if self.precision == "float32":
                raise BottleError(f"{gave}; its networks were spoilt, or do not suit its sampler: get it again")
            raise FloatingPointError(f"{gave}; use precision='float32'")
        return values

    def solve(self, label: str | None, instants: Sequence[Instant], sampler: Sampler) -> npt.NDArray[np.float64]:
        """Draw at most a batch of instants as the networks do, before `physical`: (instant, channel, cell NEST).

        Parameters
        ----------
        label
            One of the bottle's; None if it has none.
        instants
            Those to draw; their own labels are not looked at.
        sampler
            Which solver solves the ODE, at which noise levels.
        """
        latents = np.stack([self.latents(label, one) for one in instants])
        return self.solve_from(latents, label, np.array([one.time for one in instants], "datetime64[s]"), sampler)

    def latents(self, label: str | None, instant: Instant) -> npt.NDArray[np.float32]:
        """Standard normal numbers that an instant is drawn from, (channel, cell NEST), under a label of the bottle."""
        stream: dict[str, Any] = {"seed": instant.seed, "member": instant.member, "time": instant.time}
        if self.coherence is None or (self.coherence in FROM_STATES and self._carried is None):
            return noise.normals((len(self.channels), healpix.n_cells(self.zoom)), stage="coarse", **stream)
        return self._parts(label).normals(**stream)

    def _parts(self, label: str | None) -> Parts:
        """The parts of coherent noise under a label."""
        if label not in self._known_parts:
            if self._carried is None:
                spacing = spacing_of(float(self.coherence or 0))
                self._known_parts[label] = Parts.uniform(self.zoom, len(self.channels), spacing)
            else:
                self._known_parts[label] = Parts.fitted(self._carried, label, self.zoom)
        return self._known_parts[label]

    def solve_from(
        self,
        latents: npt.NDArray[np.float32],
        label: str | None,
        times: npt.NDArray[np.datetime64],
        sampler: Sampler,
    ) -> npt.NDArray[np.float64]:
        """Solve the ODE from given latents: (n, channel, cell NEST) as the networks draw it, before `physical`.

        Parameters
        ----------
        latents
            (n, channel, cell NEST) standard normal numbers, n at most the batch size.
        label
            One of the bottle's; None if it has none.
        times
            (n,) of the instants.
        sampler
            As for `solve`.
        """
        with drawing(self.precision), self.batch(times) as (batch, inputs):
            sigmas = sampler.levels()
            state = batch.put(latents).double() * sigmas[0]
            return batch.back(edm.SOLVERS[sampler.solver](self.denoise(label, **inputs), state, sigmas))

    def from_latents(
        self, latents: npt.NDArray[np.float32], label: str | None, times: npt.NDArray[np.datetime64]
    ) -> npt.NDArray[np.float64]:
        """Draw the instants that latents become, as `solve_from` by the emulator's sampler, in the channels' units."""
        drawn = self.solve_from(latents, label, times, self.sampler)
        with drawing(self.precision):
            return self.finite(self.physical(drawn, label, times)).astype(np.float64)

    @contextlib.contextmanager
    def batch(
        self, times: npt.NDArray[np.datetime64], networks: Model | None = None
    ) -> Iterator[tuple[PaddedBatch, dict[str, torch.Tensor]]]:
        """Have the networks alone, for instants at (n,) times, n at most the batch size.

        Parameters
        ----------
        times
            Of the instants.
        networks
            Others than those that draw instants.

        Yields
        ------
        The instants as the networks take them, and what `denoise` is told of them.
        """
        batch = PaddedBatch(networks or self.model, self.zoom, times, self.batch_size)
        condition = self.condition(batch.padded(times))
        with batch.model.lock:
            told = torch.from_numpy(condition).to(batch.model.device, batch.model.dtype)
            yield batch, {"condition": told, **batch.calendar()}

    def condition(self, times: npt.NDArray[np.datetime64]) -> npt.NDArray[np.float32]:
        """Make what the network is told of sea and forcings at (n,) times: (n, condition, 1, cell PAD_XY)."""
        fields = self.driving.encoded(times, self.climatology)
        return np.ascontiguousarray(fields[..., healpix.nest_to_padxy(self.zoom)][:, :, None])

    # Units -----------------------------------------------------------------------------------------------------------

    @property
    def driving(self) -> Driving:
        """Sea and forcings that drive what is drawn."""
        # States between others may lie where a series does not speak: beyond the ends of the time axis.
        return Driving(self.sst, self.bottle.manifest.forcings, self.forcings, held=self.coherence in FROM_STATES)

    @functools.cached_property
    def bounds(self) -> Bounds:
        """Bounds of what is drawn."""
        manifest = self.bottle.manifest
        seas = any(spec.sea for spec in manifest.bounds.values())
        return Bounds(manifest, self.bottle.static_fields() if seas else None)

    @property
    def normalisation(self) -> Normalisation:
        """Conversion of states of the networks to values in the channels' units, and back.

        It is made anew each time, as the statistics are part of the networks, which others may take out of memory.
        """
        model, manifest = self.model, self.bottle.manifest
        bounds = self.bounds if manifest.bounds else None
        return Normalisation(
            manifest, self.driving, model.scales, model.center, model.climatology, bounds, self.gaps
        )  # fmt: skip

    def predictors(self, times: npt.NDArray[np.datetime64]) -> npt.NDArray[np.floating[Any]] | None:
        """Predictors of the climatology's response at (n,) times, (n, predictor); None without a response."""
        return self.normalisation.predictors(times)

    def physical(
        self, x: npt.NDArray[np.floating[Any]], label: str | None, times: npt.NDArray[np.datetime64]
    ) -> npt.NDArray[np.floating[Any]]:
        """Values in the channels' units, (n, channel, cell NEST), of what the network draws, of the same shape."""
        return self.normalisation.physical(x, label, times)

    def unbounded(
        self, x: npt.NDArray[np.floating[Any]], label: str | None, times: npt.NDArray[np.datetime64]
    ) -> npt.NDArray[np.floating[Any]]:
        """Values as `physical` gives them, before they are moved into the bounds of the bottle."""
        return self.normalisation.unbounded(x, label, times)

    def normalised(
        self, values: npt.NDArray[np.floating[Any]], label: str | None, times: npt.NDArray[np.datetime64]
    ) -> npt.NDArray[np.floating[Any]]:
        """Undo `physical`, but for what was below 0 or beyond a bound."""
        return self.normalisation.normalised(values, label, times)

    def anomalies(
        self, values: npt.NDArray[np.floating[Any]], label: str | None, times: npt.NDArray[np.datetime64]
    ) -> npt.NDArray[np.floating[Any]]:
        """Undo `physical` but for calibration's gain, which alone mixes cells: NaN stays, and is in the gaps."""
        return self.normalisation.anomalies(values, label, times)

    def known_part(
        self, values: npt.NDArray[np.floating[Any]], label: str | None, times: npt.NDArray[np.datetime64]
    ) -> tuple[npt.NDArray[np.floating[Any]], npt.NDArray[np.bool_]]:
        """Give `normalised` fields that have holes: 0 where there is no value (NaN); and where there is one."""
        return self.normalisation.known_part(values, label, times)

    def shaped(
        self, fields: npt.ArrayLike, times: npt.ArrayLike
    ) -> tuple[npt.NDArray[np.datetime64], npt.NDArray[np.float64]]:
        """Times (n,) and fields (n, channel, cell NEST) of a user.

        Raises
        ------
        ValueError
            If the shape is not one field of all channels for each time.
        """
        stamps = np.atleast_1d(np.asarray(times, "datetime64[s]"))
        values = np.asarray(fields, np.float64)
        shape = (len(stamps), len(self.channels), healpix.n_cells(self.zoom))
        if values.shape != shape:
            raise ValueError(f"the fields have shape {values.shape}: it must be {shape}, all channels")
        return stamps, values

    # Denoisers -------------------------------------------------------------------------------------------------------

    @property
    def denoisers(self) -> LabelDenoisers:
        """Denoisers of networks under the labels of the bottle."""
        return LabelDenoisers(self.bottle.manifest, self.gaps, self.device)

    def denoise(self, label: str | None, **inputs: torch.Tensor) -> edm.Denoise:
        """Make the denoiser of the networks that draw instants under a label, as `denoisers` does."""
        return self.denoisers.of(self.model, label, **inputs)


def get(
    bottle: Bottle,
    *,
    device: str | None = None,
    precision: str = "float32",
    sampler: Sampler | None = None,
    batch_size: int | None = None,
    sst: SeaSurfaceTemperature | None = None,
    sst_offset: SstOffset | None = None,
    forcings: Mapping[str, Series] | None = None,
    coherence: int | str | None = None,
) -> Emulator:
    """Give the process's one emulator for these settings, made at the first call for all who wait for it."""
    series = tuple((name, one.token) for name, one in sorted((forcings or {}).items()))
    sea = sst and sst.token, sst_offset and sst_offset.token
    key = (bottle.digest, str(choose_device(device)), precision, sampler, batch_size, sea, series, coherence)
    return _emulators.get(
        key,
        lambda: Emulator(
            bottle, device=device, precision=precision, sampler=sampler, batch_size=batch_size, sst=sst,
            sst_offset=sst_offset, forcings=forcings, coherence=coherence,
        ),
    )  # fmt: skip


def _own_sst(bottle: Bottle) -> SeaSurfaceTemperature:
    return _ssts.get(bottle.digest, bottle.sst)


_emulators = Once(64)
_ssts = Once(64)
