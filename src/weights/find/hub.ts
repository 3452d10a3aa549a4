/** The Hugging Face Hub's layout: repositories, revisions, tokens. */
import { InputError } from "../../errors.ts";
import type { FetchFile } from "../files.ts";
import { environment } from "./cache.ts";

/** Where `hf:` weights are, unless the environment's HF_ENDPOINT says otherwise. */
const HUB = "https://huggingface.co";

/** A place in a repository. */
export interface HubPlace {
  /** "owner/name". */
  readonly repository: string;
  /** A folder or file in it, without slashes around; "" is all of it. */
  readonly path: string;
  /** A branch, tag, commit or "refs/pr/1". */
  readonly revision: string;
}

/** A place at one commit. */
export interface HubFiles {
  /** The address that the files' paths are put behind. */
  readonly url: URL;
  /** The paths of the place's files, where the Hub lists them. */
  readonly list?: readonly string[];
}

export function endpoint(): string {
  return (environment("HF_ENDPOINT") ?? HUB).replace(/\/+$/, "");
}

/** A part of a path that leads elsewhere: as soon as it is in an address, to another repository. */
const RELATIVE = /(^|\/)\.{1,2}(\/|$)/;

/**
 * `hf:owner/name[/path][@revision]`, or the address of a repository's page; else undefined.
 * @throws InputError for what is neither, or has "." or ".." in it
 */
export function hubPlace(place: string): HubPlace | undefined {
  const found = place.startsWith("hf:") ? shortPlace(place) : pagePlace(place);
  const parts = found && [found.repository, found.path, found.revision];
  if (parts?.some((part) => RELATIVE.test(part))) throw notThere(place);
  return found;
}

function pagePlace(place: string): HubPlace | undefined {
  const base = `${endpoint()}/`;
  if (!place.startsWith(base) || !URL.canParse(place)) return undefined;
  const parts = new URL(place).pathname.slice(new URL(base).pathname.length)
    .split("/").filter((part) => part !== "").map(decodeURIComponent);
  const [owner, name, kind, revision = "main", ...path] = parts;
  if (!name || ["datasets", "spaces", "api"].includes(owner)) return undefined;
  if (kind !== undefined && !["tree", "blob", "resolve"].includes(kind)) return undefined;
  return { repository: `${owner}/${name}`, revision, path: path.join("/") };
}

function shortPlace(place: string): HubPlace {
  const match = /^hf:([\w.-]+\/[\w.-]+)((?:\/[\w.-]+)*)\/?(?:@([\w./-]+))?$/.exec(place);
  if (!match) throw notThere(place);
  const [, repository, path, revision = "main"] = match;
  return { repository, path: path.slice(1), revision };
}

function notThere(place: string): InputError {
  return new InputError(
    `${place}: expected hf:owner/name, a path in it behind that, and @revision if it is not main`,
  );
}

/**
 * The place at the commit that its revision is now: files that are read one after another are then of
 * one version. Where the Hub does not say, at the revision.
 */
export async function hubFiles(
  { repository, path, revision }: HubPlace,
  fetchFile: FetchFile,
): Promise<HubFiles> {
  const hub = endpoint();
  const encoded = encodeURIComponent(revision);
  const answer = await fetchFile(new URL(`${hub}/api/models/${repository}/revision/${encoded}`));
  const { sha, siblings } = commitIn(answer);
  const folder = path === "" ? "" : `${path}/`;
  const names = siblings?.map((file) => (file as { rfilename?: unknown } | null)?.rfilename)
    .filter((name) => typeof name === "string");
  return {
    url: new URL(`${hub}/${repository}/resolve/${sha ?? encoded}/${path}`),
    list: names?.filter((name) => name.startsWith(folder)).map((name) => name.slice(folder.length)),
  };
}

function commitIn(answer: Uint8Array | undefined): { sha?: string; siblings?: unknown[] } {
  try {
    const { sha, siblings } = JSON.parse(new TextDecoder().decode(answer));
    return /^[0-9a-f]{40}$/.test(sha)
      ? { sha, siblings: Array.isArray(siblings) ? siblings : undefined }
      : {};
  } catch {
    return {};
  }
}

/** Whether an address names a commit, so that what is behind it never changes. */
export function isCommit(url: URL): boolean {
  return /\/resolve\/[0-9a-f]{40}\//.test(url.pathname);
}

/** Whether an address is the Hub's own. */
export function isHub(url: URL): boolean {
  return url.origin === new URL(endpoint()).origin;
}

/** HF_TOKEN, for the Hub's own addresses alone: where it redirects to, other hosts answer. */
export function hubToken(url: URL): string | undefined {
  return isHub(url) ? environment("HF_TOKEN") : undefined;
}
