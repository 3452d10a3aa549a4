/**
 * Bundles the server's page into `src/server/page/assets.ts`, which is committed: the server then needs no bundler, whether it
 * is run from a clone, from an address or at the edge. `--check` fails where the file is not current.
 */
import * as esbuild from "npm:esbuild@0.28.2";

const here = new URL("../src/server/page/", import.meta.url);

/** The text that `assets.ts` should have. */
export async function buildAssets(): Promise<string> {
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

if (import.meta.main) {
  const file = new URL("assets.ts", here);
  const text = await buildAssets();
  if (Deno.args.includes("--check")) {
    if (await Deno.readTextFile(file) !== text) {
      console.error("src/server/page/assets.ts is not current: run `deno task page`");
      Deno.exit(1);
    }
  } else {
    await Deno.writeTextFile(file, text);
    console.log(`src/server/page/assets.ts: ${(text.length / 1024).toFixed(1)} KiB`);
  }
}
