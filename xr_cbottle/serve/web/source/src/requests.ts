// Requests to the server: a bounded number at once, repeated when it is busy, failed with one sentence.

const AT_ONCE = 12;
const LONGEST_WAIT = 30_000;
const PATIENCE = 180_000;

/** An error whose message is a sentence for the page. */
export class Sentence extends Error {}

/** Told while a request waits because the server is busy, with the seconds it asked for; and null when it goes on. */
export type OnWait = (seconds: number | null) => void;

let running = 0;
const waiting: (() => void)[] = [];

async function turn<T>(task: () => Promise<T>): Promise<T> {
  if (running >= AT_ONCE) await new Promise<void>((resolve) => waiting.push(resolve));
  else running++;
  try {
    return await task();
  } finally {
    const next = waiting.shift();
    if (next) next(); // hands its place on
    else running--;
  }
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener("abort", stop, { once: true });
    function done() {
      signal.removeEventListener("abort", stop);
      resolve();
    }
    function stop() {
      clearTimeout(timer);
      reject(signal.reason);
    }
  });
}

/** Seconds or a date, as in Retry-After. */
function wanted(header: string | null): number {
  if (header === null) return 1000;
  const seconds = Number(header);
  const milliseconds = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(header) - Date.now();
  return Number.isFinite(milliseconds) ? Math.min(LONGEST_WAIT, Math.max(100, milliseconds)) : 1000;
}

/** The first sentence of what a server says is wrong, if it says it in plain words. */
async function reason(response: Response): Promise<string> {
  const type = response.headers.get("Content-Type") ?? "";
  let text = (await response.text().catch(() => "")).trim();
  if (type.includes("json")) {
    try {
      const said = JSON.parse(text);
      text = String(said.detail ?? said.error ?? said.message ?? "");
    } catch {
      text = "";
    }
  } else if (!type.startsWith("text/plain")) text = "";
  return text ? `The server says: ${text.slice(0, 300)}` : `The server answered ${response.status}.`;
}

/** Fetches, patiently while the server is busy or loading. Missing chunks are an error here, missing documents not. */
export async function patient(request: Request, onWait: OnWait): Promise<Response> {
  const started = performance.now();
  for (;;) {
    const { response, wait } = await turn(async () => {
      let response: Response;
      try {
        response = await fetch(request.clone());
      } catch (error) {
        request.signal.throwIfAborted();
        throw new Sentence(`The server at ${location.host} does not answer: is xr-cbottle serve still running?`, {
          cause: error,
        });
      }
      const busy = response.status === 429 || response.status === 503;
      return { response, wait: busy ? wanted(response.headers.get("Retry-After")) : 0 };
    });
    if (!wait) {
      const isDocument = /(?:zarr\.json|\.z[a-z]+)$/.test(new URL(request.url).pathname);
      if (response.ok || (response.status === 404 && isDocument)) return response;
      throw new Sentence(await reason(response));
    }
    if (performance.now() - started > PATIENCE) {
      throw new Sentence("The server has been busy for three minutes: try again later.");
    }
    await response.body?.cancel();
    onWait(wait / 1000);
    await pause(wait * (1 + 0.2 * Math.random()), request.signal); // not all at the same moment
    onWait(null);
  }
}
