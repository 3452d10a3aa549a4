/**
 * Bundles each page into the `assets.ts` of its folder, which is committed: a server then needs no bundler,
 * whether it is run from a clone, from an address or at the edge. `--check` fails where one is not current.
 */
import * as esbuild from "npm:esbuild@0.28.2";

/** The folders of the pages: of `serve`, and of `train --watch`. */
export const pages = ["src/server/page", "src/cli/watch/page"] as const;

const root = new URL("../", import.meta.url);

/** The text that `assets.ts` of a page should have. */
export async function buildAssets(page: typeof pages[number]): Promise<string> {
  const here = new URL(`${page}/`, root);
  const bundle = async (file: string) => {
    const { outputFiles: [{ text }] } = await esbuild.build({
      entryPoints: [decodeURIComponent(new URL(file, here).pathname)],
      bundle: true,
      minify: true,
      write: false,
      format: "esm",
      target: ["chrome111", "firefox113", "safari16.4"],
      charset: "utf8",
      legalComments: "none",
    });
    return text;
  };
  try {
    const [js, css] = await Promise.all([bundle("main.ts"), bundle("style.css")]);
    const html = await Deno.readTextFile(new URL("index.html", here));
    return render({ html, js, css });
  } finally {
    await esbuild.stop();
  }
}

function render(files: { html: string; js: string; css: string }): string {
  const lines = Object.entries(files).map(([name, text]) =>
    `export const ${name}: string = ${JSON.stringify(text)};\n`
  );
  return "// Made by deploy/page.ts from the files beside this one; do not edit.\n" +
    "// deno-fmt-ignore-file\n// deno-lint-ignore-file\n" + lines.join("");
}

/**
 * Writes the pages' files, or looks whether they are current.
 * @returns whether they are
 */
export async function update(check: boolean, build = buildAssets): Promise<boolean> {
  for (const page of pages) {
    const path = `${page}/assets.ts`;
    const file = new URL(path, root);
    const text = await build(page);
    if (!check) {
      await Deno.writeTextFile(file, text);
      console.log(`${path}: ${(text.length / 1024).toFixed(1)} KiB`);
    } else if (await Deno.readTextFile(file) !== text) {
      console.error(`${path} is not current: run \`deno task build:page\``);
      return false;
    }
  }
  return true;
}

if (import.meta.main) Deno.exit(await update(Deno.args.includes("--check")) ? 0 : 1);
