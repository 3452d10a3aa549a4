import { assert, assertEquals } from "@std/assert";

/** The folders from top to bottom: each may import from those below it, cli, server and training not from each other. */
const order = [
  "src/cli",
  "src/server",
  "src/evaluation",
  "src/training",
  "src/restoration",
  "src/sampling",
  "src/recipe",
  "src/model",
  "src/weights",
  "src/backends",
  "src/engine",
  "src/onnx",
  "src/networks",
  "src/graph",
  "schedulers",
  "src/image",
  "src/files",
  "src/diffusion",
] as const;

/** Pairs that the order would allow and the design does not. */
const strangers: Record<string, readonly string[]> = {
  "src/server": ["src/evaluation", "src/training"],
  "schedulers": ["src/image", "src/files"],
};

/** Folders whose files run at the edge and in a browser as they are. */
const portable = [
  "src/diffusion",
  "src/graph",
  "src/onnx",
  "src/networks",
  "src/restoration",
  "src/sampling",
  "src/recipe",
  "src/image",
];

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

const folderOf = (path: string) => order.find((folder) => path.startsWith(`${folder}/`));

function mayImport(from: typeof order[number], to: typeof order[number]): boolean {
  return order.indexOf(from) <= order.indexOf(to) && !strangers[from]?.includes(to);
}

const all = [...await sources("src"), ...await sources("schedulers")];

Deno.test("imports run one way, as the design says", () => {
  const wrong: string[] = [];
  for (const source of all) {
    const from = folderOf(source.path);
    for (const target of importsOf(source)) {
      const to = folderOf(target);
      if (from && to && !mayImport(from, to)) wrong.push(`${source.path} → ${target}`);
      if (/^(mod\.ts|tests\/|deploy\/|bench\/)/.test(target)) {
        wrong.push(`${source.path} → ${target}`);
      }
    }
  }
  assertEquals(wrong, []);
});

Deno.test("every file of src/ has its place in the order; errors.ts and schema.ts are everybody's", () => {
  assertEquals(
    all.map((source) => source.path).filter((path) => !folderOf(path)).sort(),
    ["src/errors.ts", "src/schema.ts"],
  );
});

Deno.test("only src/backends names onnxruntime", () => {
  const wrong = all.filter((source) =>
    !source.path.startsWith("src/backends/") &&
    importsOf(source).some((target) => target.includes("onnxruntime"))
  );
  assertEquals(wrong.map((source) => source.path), []);
});

Deno.test("an architecture's folder is named by the registry alone", () => {
  const folder = /^src\/networks\/[^/]+\//;
  const wrong = all.flatMap((source) =>
    importsOf(source)
      .filter((target) => folder.test(target) && !source.path.startsWith(folder.exec(target)![0]))
      .map((target) => `${source.path} → ${target}`)
  );
  const registered = /^src\/networks\/registry\.ts → src\/networks\/[^/]+\/mod\.ts$/;
  assertEquals(wrong.filter((line) => !registered.test(line)), []);
  assert(wrong.length > 0, "what is registered was found");
});

Deno.test("packages are named in full, with their versions", () => {
  const wrong: string[] = [];
  for (const source of all) {
    for (const target of importsOf(source)) {
      const local = /^(src|schedulers|weights)\//.test(target) ||
        ["mod.ts", "deno.json"].includes(target);
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

Deno.test("a file is written whole, by atomic_write.ts: others write only what grows as it is made", () => {
  const writing =
    /\bDeno\.(writeFile|writeTextFile|create|rename|copyFile|truncate)\b|\bwrite: true/;
  assertEquals(all.filter(({ text }) => writing.test(code(text))).map(({ path }) => path).sort(), [
    "src/cli/bulk/npz_sink.ts",
    "src/files/atomic_write.ts",
    "src/training/run/log.ts",
  ]);
});

Deno.test("no file is longer than 400 lines", () => {
  const long = all.filter((source) => source.text.split("\n").length > 400);
  assertEquals(long.map((source) => source.path), []);
  assert(all.length > 0);
});
