/** Many files at once, sent in parcels that stay under the server's limits; files of one recording stay together. */

import type { ServerState } from "../api/types";

/** Name without the folder and the last ending: X.hea, X.dat and X.mat are one recording. */
export function stem(name: string): string {
  return name.replace(/\.[^.]*$/, "");
}

export interface Parcels {
  parcels: File[][];
  /** Sentences about files that are too large to be sent at all. */
  refused: string[];
}

export function parcelsOf(files: readonly File[], limits: ServerState["limits"] | null): Parcels {
  const mostBytes = (limits?.upload_mb ?? Infinity) * 1024 * 1024;
  const mostFiles = limits?.files ?? Infinity;
  const groups = new Map<string, File[]>();
  for (const file of files) groups.set(stem(file.name), [...(groups.get(stem(file.name)) ?? []), file]);
  const parcels: File[][] = [];
  const refused: string[] = [];
  let [now, size]: [File[], number] = [[], 0];
  for (const group of groups.values()) {
    const weight = group.reduce((sum, file) => sum + file.size, 0);
    if (weight > mostBytes || group.length > mostFiles) {
      const mb = (weight / 1024 / 1024).toFixed(1);
      refused.push(`${group.map((file) => file.name).join(" + ")}: ${mb} MB, more than the ${limits?.upload_mb} MB that the server takes.`);
      continue;
    }
    // a twentieth is left for what multipart adds
    if (now.length && (size + weight > mostBytes * 0.95 || now.length + group.length > mostFiles)) {
      parcels.push(now);
      [now, size] = [[], 0];
    }
    now.push(...group);
    size += weight;
  }
  if (now.length) parcels.push(now);
  return { parcels, refused };
}

/** Files of a drop, folders opened. */
export async function filesOf(transfer: DataTransfer): Promise<File[]> {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.() ?? null);
  if (!entries.some((entry) => entry?.isDirectory)) return [...transfer.files];
  const found: File[] = [];
  for (const entry of entries) if (entry) found.push(...(await walk(entry)));
  return found;
}

async function walk(entry: FileSystemEntry): Promise<File[]> {
  if (entry.isFile) {
    return [await new Promise<File>((done, failed) => (entry as FileSystemFileEntry).file(done, failed))];
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const found: File[] = [];
  for (;;) {
    // a reader gives a hundred at a time, until it gives none
    const some = await new Promise<FileSystemEntry[]>((done, failed) => reader.readEntries(done, failed));
    if (!some.length) return found;
    for (const one of some) found.push(...(await walk(one)));
  }
}
