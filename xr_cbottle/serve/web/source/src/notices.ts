// How it goes: the line that tells of drawing, and the sentence that tells what went wrong.

import { byId } from "./dom";
import { Sentence } from "./requests";

export class Notices {
  /** What went wrong, as it is told. */
  error: string | null = null;

  #clock = 0;
  #waits = 0;

  /** `onAgain` is called when what failed is to be tried again. */
  constructor(onAgain: () => void) {
    byId("again").addEventListener("click", onAgain);
    byId("dismiss").addEventListener("click", () => this.clear());
  }

  /** Tells of drawing so many instants, or other things, until it is over. */
  begin(count: number, things = "instants"): void {
    clearInterval(this.#clock);
    const started = performance.now();
    this.#clock = window.setInterval(() => {
      const seconds = (performance.now() - started) / 1000;
      const what = this.#waits > 0 ? "the server is busy or loading; trying again" : count > 1 ? `drawing ${count} ${things}` : "drawing";
      this.#tell(`${what} … ${seconds.toFixed(1)} s`, true);
    }, 150);
  }

  /** It is over, after so many milliseconds; null: with nothing to see. Something more may be said of it. */
  end(took: number | null, more = ""): void {
    clearInterval(this.#clock);
    const read = took === null ? "" : `read in ${took < 1000 ? `${Math.round(took)} ms` : `${(took / 1000).toFixed(1)} s`}`;
    this.#tell([read, more].filter(Boolean).join(" · "), false);
  }

  /** A request begins (seconds) or ends (null) to wait for a busy server. */
  waiting(seconds: number | null): void {
    this.#waits += seconds === null ? -1 : 1;
  }

  fail(error: unknown, mayTryAgain: boolean): void {
    this.error = sentenceOf(error);
    const bar = byId("error");
    bar.querySelector("span")!.textContent = this.error;
    byId("again").hidden = !mayTryAgain;
    bar.hidden = false;
    this.end(null);
  }

  clear(): void {
    this.error = null;
    byId("error").hidden = true;
  }

  #tell(text: string, busy: boolean): void {
    const status = byId("status");
    status.className = busy ? "busy" : "";
    status.textContent = text;
  }
}

/** An error as one sentence. */
export function sentenceOf(error: unknown): string {
  if (error instanceof Sentence) return error.message;
  const message = error instanceof Error ? error.message : String(error);
  return `This could not be shown: ${message}`;
}
