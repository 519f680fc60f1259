/** Requests to the server that sent this page. A refusal is the server's own sentence. */

import type { Item, Measurements, Prediction, Saliency, ServerState, SignalInfo } from "./types";

export class ServerError extends Error {
  constructor(
    readonly status: number,
    sentence: string,
  ) {
    super(sentence);
  }
}

/** The sentence to show for whatever was thrown. */
export function sentenceOf(error: unknown): string {
  if (error instanceof ServerError) return error.message;
  if (error instanceof TypeError) return "The server does not answer. Is ecg-ramba serve still running?";
  return error instanceof Error ? error.message : String(error);
}

export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}

async function refusal(answer: Response): Promise<ServerError> {
  const text = await answer.text();
  let sentence = "";
  try {
    const body: unknown = JSON.parse(text);
    if (body && typeof body === "object" && "error" in body) sentence = String(body.error);
  } catch {
    sentence = ""; // not JSON: said in our own words below
  }
  return new ServerError(answer.status, sentence || `The server answered ${answer.status} ${answer.statusText}.`);
}

async function request(path: string, options: RequestInit = {}): Promise<Response> {
  const headers = new Headers(options.headers);
  if (options.method && options.method !== "GET") headers.set("X-ECG-RAMBA", "1");
  const answer = await fetch(path, { ...options, headers, credentials: "same-origin" });
  if (!answer.ok) throw await refusal(answer);
  return answer;
}

async function json<T>(path: string, options: RequestInit = {}): Promise<T> {
  return (await (await request(path, options)).json()) as T;
}

function withBody(method: string, body: unknown): RequestInit {
  return { method, body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
}

const of = (id: string, rest = "") => `/api/recordings/${encodeURIComponent(id)}${rest}`;

export const api = {
  state: () => json<ServerState>("/api/state"),
  train: () => request("/api/train", { method: "POST" }),
  list: (search: string, offset: number, limit: number, signal?: AbortSignal) =>
    json<{ total: number; items: Item[] }>(
      `/api/recordings?${new URLSearchParams({ search, offset: String(offset), limit: String(limit) })}`,
      { signal },
    ),
  item: (id: string, signal?: AbortSignal) => json<Item>(of(id), { signal }),
  note: (id: string, note: string) => json<Item>(of(id), withBody("PATCH", { note })),
  answer: (id: string, answers: { rate?: number; units?: string; leads?: string[] }) =>
    json<Item>(of(id, "/answers"), withBody("POST", answers)),
  remove: (id: string) => request(of(id), { method: "DELETE" }),
  removeAll: () => request("/api/recordings", { method: "DELETE" }),
  upload: (files: File[]) => {
    const form = new FormData();
    for (const file of files) form.append("files", file, file.name);
    return json<{ items: Item[]; skipped: string[] }>("/api/uploads", { method: "POST", body: form });
  },
  signal: (id: string, signal?: AbortSignal) => json<SignalInfo>(of(id, "/signal"), { signal }),
  measurements: (id: string, signal?: AbortSignal) => json<Measurements>(of(id, "/measurements"), { signal }),
  prediction: (id: string, pooling: string | null, signal?: AbortSignal) =>
    json<Prediction>(of(id, pooling ? `/prediction?${new URLSearchParams({ pooling })}` : "/prediction"), { signal }),
  saliency: (id: string, cls: string, method: string, window: number, signal?: AbortSignal) =>
    json<Saliency>(of(id, `/saliency?${new URLSearchParams({ class: cls, method, window: String(window) })}`), {
      signal,
    }),
  stop: (id: string) => json<Item>(of(id, "/stop"), { method: "POST" }),
  analyse: (id: string) => json<Item>(of(id, "/analyse"), { method: "POST" }),
  report: (id: string, pooling: string | null) =>
    of(id, pooling ? `/report.pdf?${new URLSearchParams({ pooling })}` : "/report.pdf"),
  export: (id: string) => of(id, "/export.json"),

  /** Samples (level 1) or pairs of minimum and maximum (level > 1), with the samples that they cover. */
  async samples(
    id: string,
    query: { lead: string; start: number; stop: number; level: number; filter: string; notch: string },
    signal: AbortSignal,
  ): Promise<{ values: Float32Array; start: number; stop: number }> {
    const text = new URLSearchParams(Object.entries(query).map(([name, value]) => [name, String(value)]));
    const answer = await request(of(id, `/samples?${text}`), { signal });
    const values = new Float32Array(await answer.arrayBuffer());
    const start = Number(answer.headers.get("X-Start") ?? query.start);
    const stop = Number(answer.headers.get("X-Stop") ?? query.stop);
    return { values, start, stop };
  },
};
