// The form beside the globe: what it shows follows the view, and what is chosen in it changes the view.

import type { BottleFacts, Catalog } from "./catalog";
import { byId, choices, make } from "./dom";
import { cellWidth } from "./healpix";
import { PROJECTIONS } from "./projections";
import { prettyPeriod, prettyUnits } from "./text";
import { COMPARED, type Comparison, mostMember, type View } from "./view";

const select = (id: string) => byId<HTMLSelectElement>(id);
const input = (id: string) => byId<HTMLInputElement>(id);

const PROJECTION_NAMES = { globe: "Globe", mollweide: "Mollweide", equirectangular: "Equirectangular" };

export class Controls {
  constructor(
    private readonly catalog: Catalog,
    private readonly onChange: (change: Partial<View>) => void,
  ) {
    const chosen = (id: string, change: (value: string) => Partial<View>) =>
      select(id).addEventListener("change", () => onChange(change(select(id).value)));
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
    for (const id of ["member", "seed"] as const) this.#number(input(id), (value) => ({ [id]: value }));
    document.querySelector(".controls")!.addEventListener("submit", (event) => event.preventDefault());
  }

  #bottle!: BottleFacts;
  #view!: View;

  show(view: View, bottle: BottleFacts): void {
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
    choices(select("zoom"), bottle.zooms.map((z) => [String(z), `${z} (${prettyWidth(z)})`]).reverse() as [string, string][], String(view.zoom));
    choices(select("label"), bottle.labels.map((l) => [l, l]), view.label ?? "");
    byId("label-row").hidden = bottle.labels.length < 2;
    const means = bottle.mean_steps ?? bottle.steps;
    const steps = view.method === "mean" ? means : bottle.steps;
    choices(select("step"), steps.map((s) => [s, prettyPeriod(s)]), view.step);
    const methods = bottle.time_methods.filter((method) => method !== "mean" || means.length);
    choices(select("method"), methods.map((m) => [m, m === "inst" ? "instants" : m === "mean" ? "means over the step" : m]), view.method);
    choices(select("projection"), PROJECTIONS.map((p) => [p, PROJECTION_NAMES[p]]), view.projection);
    const comparable = COMPARED.filter((what) => what !== "label" || bottle.labels.length > 1);
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
        this.#number(field, (value) => ({ compare: { what: compare.what, value } }));
      } else {
        const list = field;
        list.addEventListener("change", () => this.onChange({ compare: { what: "label", value: list.value } }));
      }
      place.replaceChildren(field);
    }
    if (field instanceof HTMLSelectElement) choices(field, this.#bottle.labels.map((l) => [l, l]), String(compare.value));
    else field.value = String(compare.value);
  }

  #number(field: HTMLInputElement, change: (value: number) => Partial<View>): void {
    field.addEventListener("change", () => {
      const value = field.valueAsNumber;
      if (field.validity.valid && Number.isSafeInteger(value)) this.onChange(change(value));
      else field.reportValidity();
    });
  }
}

function prettyWidth(zoom: number): string {
  const width = cellWidth(zoom);
  return width >= 10 ? `${Math.round(width)} km` : `${width.toPrecision(2)} km`;
}
