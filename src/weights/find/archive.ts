/** Zip archives of weights, as people and their systems make them. */
import { type Files, filesOf } from "../files.ts";
import { networkFolders } from "../../networks/registry.ts";
import { weightEnding } from "../read/formats.ts";

/** A config's path, and before it the folder of weights: above a network's, where that is a part of it. */
const ROOT = new RegExp(
  `^(.*?/)??(?:model_index\\.json|(?:(?:${networkFolders.join("|")})(?:_ema)?/)?config\\.json)$`,
);

/** What macOS and Windows put beside the files. */
const LITTER = /(^|\/)(__MACOSX\/|\._|\.DS_Store$|Thumbs\.db$|desktop\.ini$)/;

/**
 * An archive's files, from the folder of weights in it on, however deep that lies and whatever is
 * beside it; or the file of weights, where there is only one and no folder.
 */
export function archiveFiles(entries: ReadonlyMap<string, Uint8Array>, where: string): Files {
  const files = new Map(
    [...entries].map(([name, bytes]) => [name.replaceAll("\\", "/"), bytes] as const)
      .filter(([name]) => !LITTER.test(name)),
  );
  const names = [...files.keys()];
  const root = rootOf(names);
  const inside = names.filter((name) => name.startsWith(root));
  const found = filesOf(
    Object.fromEntries(inside.map((name) => [name.slice(root.length), files.get(name)!])),
    `${where}/${root}`,
  );
  const [only, ...others] = inside.filter((name) => weightEnding(name));
  const isFolder = inside.some((name) => /(^|\/)config\.json$/.test(name));
  return only && others.length === 0 && !isFolder
    ? { ...found, file: only.slice(root.length) }
    : found;
}

/** The highest folder that has a pipeline's or a network's config. */
function rootOf(names: readonly string[]): string {
  const roots = names.flatMap((name) => {
    const match = ROOT.exec(name);
    return match ? [match[1] ?? ""] : [];
  });
  const depth = (root: string) => root.split("/").length;
  return roots.sort((a, b) => depth(a) - depth(b) || (a < b ? -1 : 1))[0] ?? "";
}
