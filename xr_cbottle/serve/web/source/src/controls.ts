// The form beside the globe: what it shows follows the view, and what is chosen in it changes the view.

import { type BottleFacts, type Catalog, type SettingFacts, zoomsOf } from "./catalog";
import { COLOUR_MAPS, type Style } from "./colours";
import { byId, choices, make } from "./dom";
import { MOST_MEMBERS, STATISTICS, type Statistic, type Threshold } from "./ensembles";
import { cellWidth } from "./healpix";
import { mayBeLog } from "./layers";
import { NAMES, type Place, placeOf } from "./places";
import { PROJECTIONS } from "./projections";
import { editable, prettyPeriod, prettyUnits } from "./text";
import {
  COMPARED, type Comparison, hintOf, keyOfQuantity, mayBe, mostMember, type Quantity, quantitiesOf, type View, WIND_STYLES, windsOf,
} from "./view"; // prettier-ignore

const select = (id: string) => byId<HTMLSelectElement>(id);
const input = (id: string) => byId<HTMLInputElement>(id);

const PROJECTION_NAMES = { globe: "Globe", mollweide: "Mollweide", equirectangular: "Equirectangular" };

const STATISTIC_NAMES: Record<Statistic, string> = {
  one: "one member",
  mean: "mean of members",
  spread: "spread of members",
  probability: "probability over members",
};

export interface ControlListener {
  changed(change: Partial<View>): void;
  /** Something that is not there, in a sentence. */
  absent(sentence: string | null): void;
  /** A place has been named. */
  went(place: Place): void;
  /** A file is wanted; of a film so many pictures. */
  took(what: "png" | "csv" | "gif", frames?: number): void;
}

export class Controls {
  constructor(
    private readonly catalog: Catalog,
    private readonly listener: ControlListener,
  ) {
    const onChange = (change: Partial<View>) => this.onChange(change);
    const chosen = (id: string, change: (value: string) => Partial<View>) =>
      select(id).addEventListener("change", () => onChange(change(select(id).value)));
    chosen("statistic", (statistic) => ({ statistic: statistic as Statistic }));
    chosen("colours", (colours) => ({ colours: colours || null }));
    chosen("contours", (key) => ({ contours: quantitiesOf(this.#bottle).find((one) => keyOfQuantity(one) === key) ?? null }));
    chosen("wind", (key) => ({ wind: windsOf(this.#bottle).find((one) => keyOfQuantity(one) === key) ?? null }));
    chosen("wind-style", (style) => ({ windStyle: style as View["windStyle"] }));
    input("log").addEventListener("change", () => onChange({ log: input("log").checked }));
    select("side").addEventListener("change", () => this.#threshold());
    input("threshold").addEventListener("change", () => this.#threshold());
    this.#number(input("members"), (value) => ({ members: value }), (count, most) => `There is no ensemble of ${count} members here: it has 2 to ${most}.`);
    byId("place-names").append(...NAMES.map((name) => make("option", { value: name })));
    input("place").addEventListener("change", () => this.#place());
    for (const what of ["png", "csv"] as const) byId(what).addEventListener("click", () => listener.took(what));
    byId("gif").addEventListener("click", () => listener.took("gif", Number(select("gif-frames").value)));
    chosen("bottle", (bottle) => ({ bottle }));
    chosen("variable", (variable) => ({ variable }));
    chosen("pressure", (pressure) => ({ pressure: Number(pressure) }));
    chosen("zoom", (zoom) => ({ zoom: Number(zoom) }));
    chosen("label", (label) => ({ label }));
    chosen("step", (step) => ({ step }));
    chosen("method", (method) => ({ method }));
    chosen("projection", (projection) => ({ projection: projection as View["projection"], scale: 1 }));
    chosen("compare", (what) => ({ compare: what ? this.#first(what as Comparison["what"]) : null }));
    for (const id of ["coast", "grid", "difference"] as const) {
      input(id).addEventListener("change", () => onChange({ [id]: input(id).checked }));
    }
    this.#number(input("member"), (value) => ({ member: value }), noneOf("member"));
    this.#number(input("seed"), (value) => ({ seed: value }), noneOf("seed"));
    document.querySelector(".controls")!.addEventListener("submit", (event) => event.preventDefault());
  }

  #bottle!: BottleFacts;
  #view!: View;

  private onChange(change: Partial<View>): void {
    this.listener.absent(null);
    this.listener.changed(change);
  }

  /** `style` is that of the quantity that is seen; undefined as long as nothing is. */
  show(view: View, bottle: BottleFacts, style?: Style): void {
    [this.#view, this.#bottle] = [view, bottle];
    const facts = bottle.variables[view.variable];
    choices(select("bottle"), this.catalog.bottles.map((b) => [b.pinned || b.name, b.name]), view.bottle);
    choices(
      select("variable"),
      Object.entries(bottle.variables).map(([name, v]) => [name, v.long_name ? `${name}: ${v.long_name}` : name]),
      view.variable,
    );
    select("variable").title = [facts.long_name, prettyUnits(facts.units)].filter(Boolean).join(", ");
    choices(select("pressure"), facts.pressures.map((p) => [String(p), `${p / 100} hPa`]), String(view.pressure));
    byId("pressure-row").hidden = !facts.pressures.length;
    const zooms = zoomsOf(bottle, view.variable).map((z): [string, string] => [String(z), zoomName(z)]);
    choices(select("zoom"), zooms.reverse(), String(view.zoom));
    select("zoom").title = view.zoom > bottle.zoom ? "By super-resolution: tiles of what is in view are drawn" : "";
    choices(select("label"), bottle.labels.map((l) => [l, l]), view.label ?? "");
    byId("label-row").hidden = bottle.labels.length < 2;
    const means = bottle.mean_steps ?? bottle.steps;
    const steps = view.method === "mean" ? means : bottle.steps;
    choices(select("step"), steps.map((s) => [s, prettyPeriod(s)]), view.step);
    const methods = bottle.time_methods.filter((method) => method !== "mean" || means.length);
    choices(select("method"), methods.map((m) => [m, m === "inst" ? "instants" : m === "mean" ? "means over the step" : m]), view.method);
    choices(select("projection"), PROJECTIONS.map((p) => [p, PROJECTION_NAMES[p]]), view.projection);
    this.#showStatistic(view, style);
    this.#showSettings(view, bottle);
    const quantity = ({ variable, pressure }: Quantity) => `${variable}${pressure === null ? "" : ` ${pressure / 100} hPa`}`;
    const listed = (quantities: Quantity[]): [string, string][] => [["", "none"], ...quantities.map((one): [string, string] => [keyOfQuantity(one), quantity(one)])];
    choices(select("contours"), listed(quantitiesOf(bottle)), keyOfQuantity(view.contours));
    const winds = windsOf(bottle);
    const height = ({ variable, pressure }: Quantity) => (pressure === null ? `near the surface (${variable})` : `${pressure / 100} hPa`);
    choices(select("wind"), [["", "none"], ...winds.map((one): [string, string] => [keyOfQuantity(one), height(one)])], keyOfQuantity(view.wind));
    choices(select("wind-style"), WIND_STYLES.map((one) => [one, one]), view.windStyle);
    byId("wind-row").hidden = !winds.length;
    byId("wind-style-row").hidden = !view.wind;
    choices(select("colours"), [["", style ? `its own (${style.colours})` : "its own"], ...COLOUR_MAPS.map((name): [string, string] => [name, name])], view.colours ?? "");
    input("log").checked = view.log;
    input("log").disabled = !!style && !mayBeLog(style);
    const comparable = COMPARED.filter((what) => (what !== "label" || bottle.labels.length > 1) && (what !== "member" || view.statistic === "one"));
    choices(select("compare"), [["", "nothing"], ...comparable.map((what) => [what, what] as const)], view.compare?.what ?? "");
    this.#other(view.compare);
    input("member").max = String(mostMember(bottle));
    input("member").value = String(view.member);
    input("seed").max = String(Number.MAX_SAFE_INTEGER);
    input("seed").value = String(view.seed);
    input("coast").checked = view.coast;
    input("grid").checked = view.grid;
    input("difference").checked = view.difference;
    byId("other-row").hidden = byId("difference-row").hidden = !view.compare;
  }

  #showStatistic(view: View, style?: Style): void {
    const one = view.statistic === "one";
    choices(select("statistic"), STATISTICS.map((statistic) => [statistic, STATISTIC_NAMES[statistic]]), view.statistic);
    input("members").max = String(Math.min(MOST_MEMBERS, mostMember(this.#bottle) + 1));
    input("members").value = String(view.members);
    byId("members-row").hidden = one;
    byId("member-name").textContent = one ? "Member" : "First member";
    byId("threshold-row").hidden = view.statistic !== "probability";
    select("side").value = view.threshold?.side ?? "above";
    if (view.threshold) input("threshold").value = editable(view.threshold.value);
    input("threshold").title = style ? prettyUnits(style.units ?? this.#bottle.variables[view.variable].units) : "";
    byId("threshold-units").textContent = input("threshold").title;
  }

  #threshold(): void {
    const value = Number(input("threshold").value.trim().replace("−", "-").replace(",", ".") || NaN);
    if (Number.isFinite(value)) this.onChange({ threshold: { side: select("side").value as Threshold["side"], value } });
    else this.listener.absent(`${input("threshold").value} is no threshold: write a number.`);
  }

  /** A field for each further setting of the bottle, made when the bottle is another one. */
  #showSettings(view: View, bottle: BottleFacts): void {
    const place = byId("settings");
    const settings = bottle.settings ?? [];
    if (place.dataset.of !== bottle.pinned) {
      place.dataset.of = bottle.pinned;
      place.replaceChildren(...settings.map((setting) => make("label", {}, setting.title || setting.name, " ", this.#setting(setting))));
    }
    settings.forEach((setting, i) => {
      const field = place.children[i].querySelector<HTMLInputElement | HTMLSelectElement>("input, select")!;
      field.value = view.settings[setting.name] ?? setting.default;
    });
  }

  #setting(setting: SettingFacts): HTMLElement {
    const { name, default: standard, allowed = [], pattern } = setting;
    const options = [...new Set([standard, ...allowed])].map((value) => make("option", { value }, value));
    const field = pattern === undefined ? make("select", {}, ...options) : make("input", { type: "text", spellcheck: "false", title: hintOf(setting) });
    field.addEventListener("change", () => {
      const value = field.value.trim() || standard;
      if (mayBe(setting, value)) this.onChange({ settings: { ...this.#view.settings, [name]: value } });
      else this.listener.absent(`${name} is ${value.slice(0, 40)}: it must be ${hintOf(setting)}.`);
    });
    return field;
  }

  #place(): void {
    const text = input("place").value.trim();
    if (!text) return;
    const place = placeOf(text);
    this.listener.absent(place ? null : `There is no place ${text.slice(0, 60)} among the ${NAMES.length} that this page knows: write a city, a country, or latitude and longitude such as 52.5, 13.4.`);
    if (place) this.listener.went(place);
  }

  /** What to compare with first. */
  #first(what: Comparison["what"]): Comparison {
    if (what !== "label") return { what, value: this.#view[what] + 1 };
    const value = this.#bottle.labels.find((label) => label !== this.#view.label) ?? this.#bottle.labels[0];
    return { what, value };
  }

  #other(compare: Comparison | null): void {
    const place = byId("other");
    if (!compare) return place.replaceChildren();
    const isList = compare.what === "label";
    let field = place.firstElementChild as HTMLInputElement | HTMLSelectElement | null;
    if (field?.dataset.what !== compare.what) {
      field = isList ? make("select") : make("input", { type: "number", min: "0", step: "1", inputmode: "numeric" });
      field.dataset.what = compare.what;
      field.setAttribute("aria-label", `Other ${compare.what}`);
      if (field instanceof HTMLInputElement) {
        field.max = String(compare.what === "member" ? mostMember(this.#bottle) : Number.MAX_SAFE_INTEGER);
        this.#number(field, (value) => ({ compare: { what: compare.what, value } }), noneOf(compare.what));
      } else {
        const list = field;
        list.addEventListener("change", () => this.onChange({ compare: { what: "label", value: list.value } }));
      }
      place.replaceChildren(field);
    }
    if (field instanceof HTMLSelectElement) choices(field, this.#bottle.labels.map((l) => [l, l]), String(compare.value));
    else field.value = String(compare.value);
  }

  #number(field: HTMLInputElement, change: (value: number) => Partial<View>, absent: (value: string, most: string) => string): void {
    field.addEventListener("change", () => {
      const value = field.valueAsNumber;
      if (field.validity.valid && Number.isSafeInteger(value)) this.onChange(change(value));
      else this.listener.absent(absent(field.value || "that kind", field.max));
    });
  }
}

function noneOf(what: string): (value: string, most: string) => string {
  return (value, most) => `There is no ${what} ${value} here: ${what}s are 0 to ${most}.`;
}

/** A zoom with the width of its cells, as lists and cards have it. */
export function zoomName(zoom: number): string {
  return `${zoom} (${prettyWidth(zoom)})`;
}

function prettyWidth(zoom: number): string {
  const width = cellWidth(zoom);
  return width >= 10 ? `${Math.round(width)} km` : `${width.toPrecision(2)} km`;
}
