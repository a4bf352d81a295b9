// What the server serves: its /catalog.json.

export interface VariableFacts {
  long_name: string;
  units: string;
  standard_name: string;
  pressures: number[];
}

/** A setting of data sets that an address may carry between zoom and label, as `_` + code + value. */
export interface SettingFacts {
  /** Of the engine's keyword. */
  name: string;
  code: string;
  title?: string;
  /** What it is without a word in the address. */
  default: string;
  /** Values to choose from. With a pattern, others that it fits may be written too. */
  allowed?: string[];
  pattern?: string;
  /** What it may be, in words. */
  hint?: string;
}

export interface BottleFacts {
  name: string;
  pinned: string;
  title: string;
  summary: string;
  licence: string;
  digest: string;
  references: string[];
  zoom: number;
  zooms: number[];
  /** Zooms above its own, of which there are some variables, in tiles. */
  fine_zooms?: number[];
  fine_variables?: string[];
  settings?: SettingFacts[];
  labels: string[];
  default_label: string | null;
  time: { start: string; end: string; step: string };
  steps: string[];
  time_methods: string[];
  /** Steps of which this server gives means. */
  mean_steps?: string[];
  pressures: number[];
  variables: Record<string, VariableFacts>;
  loaded: boolean;
  max_members: number;
}

export interface Catalog {
  version: string;
  bottles: BottleFacts[];
}

/** The server's root, wherever a proxy has put it. */
export const ROOT = new URL(".", document.baseURI).href;

export async function readCatalog(): Promise<Catalog> {
  const response = await fetch(new URL("catalog.json", ROOT), { cache: "no-cache" });
  if (!response.ok) throw new Error(`The server answered ${response.status} instead of its catalogue.`);
  return (await response.json()) as Catalog;
}

/** The bottle of a name, pinned (`gcm@f3469962`) or not; undefined if there is none. */
export function bottleOf(catalog: Catalog, name: string): BottleFacts | undefined {
  const [plain, digest] = name.split("@");
  const bottle = catalog.bottles.find((b) => b.name === plain);
  if (!bottle || digest === undefined) return bottle;
  return digest.length >= 8 && hexDigest(bottle).startsWith(digest) ? bottle : undefined;
}

export function hexDigest(bottle: BottleFacts): string {
  return bottle.digest.replace(/^sha256:/, "");
}

/** Which data set of a bottle. */
export interface Source {
  bottle: string;
  step: string;
  method: string;
  seed: number;
  member: number;
  zoom: number;
  label: string | null;
  /** Values of the bottle's further settings, where they are not the default. */
  settings: Record<string, string>;
}

/** The zooms of a variable, the coarsest first: the bottle's own and, where super-resolution makes it, those above. */
export function zoomsOf(bottle: BottleFacts, variable: string): number[] {
  return (bottle.fine_variables ?? []).includes(variable) ? [...bottle.zooms, ...(bottle.fine_zooms ?? [])] : bottle.zooms;
}

/** The last part of a data set's address: PT6H_inst_s0_m0_z4.zarr, and of so many members PT6H_inst_s0_m0-7_z4.zarr. */
export function addressOf(source: Source, bottle: BottleFacts, members = 1): string {
  const last = members > 1 ? `-${source.member + members - 1}` : "";
  const label = source.label === null || source.label === bottle.default_label ? "" : `_l${source.label}`;
  return `${source.step}_${source.method}_s${source.seed}_m${source.member}${last}_z${source.zoom}${settingsOf(source, bottle)}${label}.zarr`;
}

function settingsOf({ settings }: Source, bottle: BottleFacts): string {
  const given = (bottle.settings ?? []).filter(({ name }) => Object.hasOwn(settings, name));
  return given.map(({ name, code }) => `_${code}${settings[name]}`).join("");
}

/** Where a data set lies; under its pinned name browsers keep it for good. */
export function urlOf(source: Source, bottle: BottleFacts, members = 1): string {
  const path = [bottle.pinned || bottle.name, addressOf(source, bottle, members)].map((part) => encodeURIComponent(part));
  return new URL(path.join("/").replaceAll("%40", "@"), ROOT).href;
}
