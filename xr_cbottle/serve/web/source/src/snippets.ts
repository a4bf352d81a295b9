// How to read what is shown, elsewhere.

import { addressOf, type BottleFacts, ROOT, urlOf } from "./catalog";
import { styleOf } from "./colours";
import { copy, make } from "./dom";
import { isoTime } from "./text";
import { membersOf, type View, writeHash } from "./view";

interface Snippet {
  title: string;
  code: string;
  note: string;
  link?: string;
}

/** A text as a literal of Python, Julia or JavaScript: all read JSON's, but for Julia's dollar. */
const quoted = (text: string) => JSON.stringify(text);
const julia = (text: string) => quoted(text).replaceAll("$", "\\$");

export function snippetsOf(view: View, bottle: BottleFacts, index: number): Snippet[] {
  const { variable, pressure } = view;
  const count = membersOf(view).length;
  const url = urlOf(view, bottle, count);
  const time = isoTime(view.time);
  const level = pressure === null ? -1 : bottle.pressures.indexOf(pressure);
  const selected = `time=${quoted(time)}${pressure === null ? "" : `, pressure=${pressure}`}`;
  const label = view.label === null ? "" : `, label=${quoted(view.label)}`;
  const members = count > 1 ? `, members=range(${view.member}, ${view.member + count})` : view.member === 0 ? "" : `, members=[${view.member}]`;
  const settings = Object.entries(view.settings).map(([name, value]) => `, ${name}=${Number.isFinite(Number(value)) ? value : quoted(value)}`);
  const field = (more = "") => statisticOf(view, bottle, `ds[${quoted(variable)}].sel(${selected}${more}).load()`);
  const positions = [index, ...(level < 0 ? [] : [level])];
  const gridlook = `https://gridlook.pages.dev/#${url}::varname=${encodeURIComponent(variable)}::dimIndices_time=${index}${
    level < 0 ? "" : `::dimIndices_pressure=${level}`
  }`;
  const snippets: Snippet[] = [
    {
      title: "xarray",
      code: `import xarray as xr

ds = xr.open_dataset(${quoted(url)}, engine="zarr", chunks={})
${field()}`,
      note: "Nothing of this package is needed: pip install xarray dask zarr fsspec aiohttp.",
    },
    {
      title: "intake",
      code: `import intake

cat = intake.open_catalog(${quoted(new URL(`catalog/${encodeURIComponent(addressOf(view, bottle, count)).replace(/zarr$/, "yaml")}`, ROOT).href)})
ds = cat[${quoted(bottle.name)}].to_dask()
${field()}`,
      note: "With intake-xarray, in intake 0.7 and 2. In 0.7, /catalog.yaml takes all this as parameters, too.",
    },
    {
      title: "gridlook",
      code: gridlook,
      note: "Shows the data set in gridlook, the hackathon's viewer, which reads it from this server.",
      link: gridlook,
    },
    {
      title: "Julia",
      code: `using Zarr

g = zopen(${julia(url)}; consolidated = true)
g[${julia(variable)}][:, ${[...positions].reverse().map((i) => i + 1).join(", ")}]`,
      note: "Dimensions come in reverse and count from 1: cell first, time last.",
    },
    {
      title: "JavaScript",
      code: `import * as zarr from "zarrita";

const store = await zarr.withConsolidatedMetadata(new zarr.FetchStore(${quoted(url)}));
const array = await zarr.open(zarr.root(store).resolve(${quoted(variable)}), { kind: "array" });
const { data } = await zarr.get(array, [${positions.join(", ")}, null]);`,
      note: "As this page does it.",
    },
    {
      title: "The bottle itself",
      code: `import xarray as xr

ds = xr.open_dataset(${quoted(bottle.name)}, engine="cbottle", time=${quoted(view.step)}, time_method=${quoted(view.method)}, seed=${view.seed}${members}, zoom=${view.zoom}${label}${settings.join("")})
${field(members && count === 1 ? `, member=${view.member}` : "")}`,
      note: `With xr_cbottle, drawn on your own machine from a bottle of this name or path: here it is ${bottle.pinned}.`,
    },
    {
      title: "Embed",
      code: `<iframe src="${ROOT}#${writeHash({ ...view, embed: true }).replaceAll("&", "&amp;")}" title="${bottle.name}" width="640" height="520" style="border: 0"></iframe>`,
      note: "This picture in a page of your own. Pages of another origin may hold it only if the server lets them: xr-cbottle serve --embed ORIGIN.",
    },
  ];
  // The others show one member.
  return count > 1 ? snippets.filter(({ title }) => ["xarray", "intake", "The bottle itself", "Embed"].includes(title)) : snippets;
}

/** What is shown of a field of several members, in Python. */
function statisticOf(view: View, bottle: BottleFacts, field: string): string {
  const { statistic, threshold } = view;
  if (statistic === "mean") return `${field}.mean("member")`;
  if (statistic === "spread") return `${field}.std("member", ddof=1)`;
  if (statistic !== "probability" || !threshold) return field;
  const value = threshold.value / styleOf(bottle.variables[view.variable].standard_name).factor;
  return `(${field} ${threshold.side === "above" ? ">" : "<"} ${value}).mean("member")`;
}

export class Snippets {
  #chosen = 0;
  #snippets: Snippet[] = [];
  #tabs = make("div", { class: "tabs", role: "tablist", "aria-label": "Ways to read the data" });
  #code = make("code");
  #note = make("p");
  #panel: HTMLElement;

  constructor(parent: HTMLElement) {
    const button = make("button", { type: "button", class: "copy" }, "Copy");
    button.addEventListener("click", () => void copy(this.#snippets[this.#chosen].code, button));
    this.#panel = make("div", { class: "snippet", role: "tabpanel", id: "snippet" }, make("pre", { tabindex: "0" }, this.#code), button, this.#note);
    this.#tabs.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const count = this.#snippets.length;
      this.#choose((this.#chosen + step + count) % count);
      (this.#tabs.children[this.#chosen] as HTMLElement).focus();
    });
    parent.replaceChildren(this.#tabs, this.#panel);
  }

  show(snippets: Snippet[]): void {
    this.#snippets = snippets;
    if (snippets.some(({ title }, i) => this.#tabs.children[i]?.textContent !== title) || this.#tabs.children.length !== snippets.length) {
      this.#tabs.replaceChildren(
        ...snippets.map(({ title }, i) => {
          const tab = make("button", { type: "button", role: "tab", "aria-controls": "snippet", id: `tab-${i}` }, title);
          tab.addEventListener("click", () => this.#choose(i));
          return tab;
        }),
      );
    }
    this.#choose(Math.min(this.#chosen, snippets.length - 1));
  }

  #choose(i: number): void {
    this.#chosen = i;
    [...this.#tabs.children].forEach((tab, k) => {
      tab.setAttribute("aria-selected", String(k === i));
      (tab as HTMLElement).tabIndex = k === i ? 0 : -1;
    });
    this.#panel.setAttribute("aria-labelledby", `tab-${i}`);
    const { code, note, link } = this.#snippets[i];
    this.#code.textContent = code;
    this.#note.replaceChildren(
      note,
      ...(link ? [" ", make("a", { href: link, target: "_blank", rel: "noopener noreferrer" }, "Open it there")] : []),
    );
  }
}
