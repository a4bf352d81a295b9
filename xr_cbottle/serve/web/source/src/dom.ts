// Elements of the page. Text goes in as text: what a bottle says of itself is never markup.

type Child = Node | string | null | false;

/** The element of an id, which index.html has. */
export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`index.html has no #${id}`);
  return found as T;
}

/** A new element. */
export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Record<string, string> = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.filter((child): child is Node | string => !!child || child === ""));
  return element;
}

/** A link, if the address is one of the web; else its text. */
export function link(address: string): Node {
  if (!/^https?:\/\/[^\s]+$/i.test(address) || !URL.canParse(address)) return document.createTextNode(address);
  return make("a", { href: address, rel: "noopener noreferrer", target: "_blank" }, address);
}

/** Fills a list of choices, and chooses. A list that is the same already is left alone. */
export function choices(
  select: HTMLSelectElement,
  options: readonly (readonly [value: string, text: string])[],
  chosen: string,
): void {
  const same =
    select.options.length === options.length &&
    options.every(([value, text], i) => select.options[i].value === value && select.options[i].text === text);
  if (!same) select.replaceChildren(...options.map(([value, text]) => make("option", { value }, text)));
  select.value = chosen;
  select.disabled = options.length < 2;
}

/** Copies a text, where the browser lets pages do that and where it does not. */
export async function copy(text: string, button: HTMLButtonElement): Promise<void> {
  let done = false;
  try {
    await navigator.clipboard.writeText(text);
    done = true;
  } catch {
    const area = make("textarea", { class: "hidden" });
    area.value = text;
    document.body.append(area);
    area.select();
    done = document.execCommand("copy");
    area.remove();
    button.focus();
  }
  const before = (button.dataset.text ??= button.textContent ?? "");
  button.textContent = done ? "Copied" : "Not allowed";
  setTimeout(() => (button.textContent = before), 1500);
}
