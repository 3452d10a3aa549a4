import { assert, assertEquals } from "@std/assert";

/** Which folders a folder's files may import from; "" is src/ itself (errors.ts, whole_file.ts). */
const allowed: Record<string, readonly string[]> = {
  "src/diffusion": [],
  "src/graph": [],
  "src/image": [],
  "src/unet": ["src/graph"],
  "src/engine": ["src/graph"],
  "src/backend": ["src/engine", "src/graph"],
  "src/sampling": ["src/diffusion", "src/image"],
  "src/model": [
    "src/backend",
    "src/diffusion",
    "src/graph",
    "src/image",
    "src/sampling",
    "src/unet",
  ],
  "src/training": [
    "src/backend",
    "src/diffusion",
    "src/graph",
    "src/image",
    "src/model",
    "src/sampling",
    "src/unet",
    "schedulers",
  ],
  "src/server": ["src/diffusion", "src/image", "src/model", "src/sampling", "schedulers"],
  "src/cli": [
    "src/backend",
    "src/diffusion",
    "src/graph",
    "src/image",
    "src/model",
    "src/sampling",
    "src/server",
    "src/training",
    "src/unet",
    "schedulers",
  ],
  "schedulers": ["src/diffusion"],
};

/** Folders whose files run at the edge and in a browser as they are. */
const portable = ["src/diffusion", "src/graph", "src/unet", "src/sampling", "src/image"];

const root = new URL("../", import.meta.url);

interface Source {
  path: string;
  text: string;
}

async function sources(folder: string): Promise<Source[]> {
  const found: Source[] = [];
  for await (const entry of Deno.readDir(new URL(folder, root))) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory) found.push(...await sources(path));
    else if (entry.name.endsWith(".ts")) {
      found.push({ path, text: await Deno.readTextFile(new URL(path, root)) });
    }
  }
  return found;
}

/** Code without comments, so that examples in docstrings do not count. */
function code(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/^\s*\/\/.*$/gm, "");
}

function importsOf({ path, text }: Source): string[] {
  const specifiers = [
    ...code(text).matchAll(
      /\b(?:import|export)\b[^"';]*?\bfrom\s*"([^"]+)"|\bimport\s*\(?\s*"([^"]+)"|new URL\(\s*"([^"]+\.ts)"/g,
    ),
  ].map((m) => m[1] ?? m[2] ?? m[3]);
  return specifiers.map((specifier) =>
    specifier.startsWith(".")
      ? new URL(specifier, new URL(path, root)).href.slice(root.href.length)
      : specifier
  );
}

const folderOf = (path: string) =>
  Object.keys(allowed).find((folder) => path.startsWith(`${folder}/`));

const all = [...await sources("src"), ...await sources("schedulers")];

Deno.test("imports run one way, as the design says", () => {
  const wrong: string[] = [];
  for (const source of all) {
    const from = folderOf(source.path);
    if (!from) continue;
    for (const target of importsOf(source)) {
      const to = folderOf(target);
      if (to && to !== from && !allowed[from].includes(to)) {
        wrong.push(`${source.path} → ${target}`);
      }
      if (/^(mod\.ts|tests\/|deploy\/)/.test(target)) wrong.push(`${source.path} → ${target}`);
    }
  }
  assertEquals(wrong, []);
});

Deno.test("every folder of src/ has its place in the order", async () => {
  const folders: string[] = [];
  for await (const entry of Deno.readDir(new URL("src/", root))) {
    if (entry.isDirectory) folders.push(`src/${entry.name}`);
  }
  assertEquals(folders.filter((folder) => !(folder in allowed)), []);
});

Deno.test("only src/backend names onnxruntime", () => {
  const wrong = all.filter((source) =>
    !source.path.startsWith("src/backend/") &&
    importsOf(source).some((target) => target.includes("onnxruntime"))
  );
  assertEquals(wrong.map((source) => source.path), []);
});

Deno.test("packages are named in full, with their versions", () => {
  const wrong: string[] = [];
  for (const source of all) {
    for (const target of importsOf(source)) {
      const local = /^(src|schedulers|weights)\//.test(target) || target === "mod.ts";
      if (
        !local && !/^npm:(@[^/@]+\/)?[^/@]+@\d+\.\d+\.\d+/.test(target) && !/^node:/.test(target)
      ) {
        wrong.push(`${source.path} → ${target}`);
      }
    }
  }
  assertEquals(wrong, []);
});

Deno.test("what runs at the edge and in a browser touches neither Deno nor node:", () => {
  const wrong = all.filter((source) =>
    portable.some((folder) => source.path.startsWith(`${folder}/`)) &&
    (/\bDeno\./.test(code(source.text)) ||
      importsOf(source).some((target) => target.startsWith("node:")))
  );
  assertEquals(wrong.map((source) => source.path), []);
});

Deno.test("no file is a god file", () => {
  const long = all.filter((source) => source.text.split("\n").length > 400);
  assertEquals(long.map((source) => source.path), []);
  assert(all.length > 0);
});
