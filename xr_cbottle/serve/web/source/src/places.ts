// Places by name, without asking anybody: cities of Natural Earth, places of the time zone database, countries; and
// coordinates as they are typed.

import { countries, places } from "places";
import { wrapped } from "./projections";

export interface Place {
  name: string;
  lon: number;
  lat: number;
  /** Magnification that suits it. */
  scale: number;
}

/** Letters and digits only, without accents. */
function plain(text: string): string {
  return text.normalize("NFKD").replace(/[\u0300-\u036f]/g, "").toLowerCase().replace(/[^\p{L}\p{N}]+/gu, " ").trim();
}

const ALL: Place[] = [
  ...places.map(([name, lon, lat]) => ({ name, lon, lat, scale: 4 })),
  ...countries.map(([name, lon, lat, scale]) => ({ name, lon, lat, scale })),
];
const PLAIN = ALL.map(({ name }) => plain(name));

/** Names of all places. */
export const NAMES: readonly string[] = ALL.map(({ name }) => name);

/** 52.5, 13.4 or 52.5N 13.4E: latitude first, as people write it. */
function coordinates(text: string): Place | null {
  const match = /^\s*([+\-−]?\d{1,2}(?:\.\d+)?)\s*°?\s*([NS])?\s*[,;\s]\s*([+\-−]?\d{1,3}(?:\.\d+)?)\s*°?\s*([EW])?\s*$/i.exec(text);
  if (!match) return null;
  const [lat, lon] = [match[1], match[3]].map((part) => Number(part.replace("−", "-")));
  const signed = (value: number, side: string | undefined, negative: string) => (side?.toUpperCase() === negative ? -value : value);
  if (Math.abs(lat) > 90 || Math.abs(lon) > 360) return null;
  return { name: text.trim(), lat: signed(lat, match[2], "S"), lon: wrapped(signed(lon, match[4], "W")), scale: 4 };
}

/** The place that a text names: exactly, else the first that begins with it, else one that has it in its name. */
export function placeOf(text: string): Place | null {
  const found = coordinates(text);
  if (found) return found;
  const wanted = plain(text);
  if (!wanted) return null;
  for (const fits of [(name: string) => name === wanted, (name: string) => name.startsWith(wanted), (name: string) => ` ${name}`.includes(` ${wanted}`)]) {
    const i = PLAIN.findIndex(fits);
    if (i >= 0) return ALL[i];
  }
  return null;
}
