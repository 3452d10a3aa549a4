/** denoise used from an address, in an empty folder, as someone who has never cloned it would. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { decodePng } from "../src/image/png.ts";
import { temporaryFolder } from "./cli.ts";
import { serveRepository } from "./serve_repository.ts";

async function deno(args: string[], cwd: string) {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args,
    cwd,
    env: { NO_COLOR: "1", DENOISE_CACHE: `${cwd}/cache` },
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, out: text(stdout), err: text(stderr) };
}

Deno.test("deno run http://…/mod.ts sample makes a picture in an empty folder", async () => {
  await using server = serveRepository();
  await using folder = await temporaryFolder();
  const { code, err } = await deno(
    ["run", "-A", "--no-lock", `${server.origin}/mod.ts`, "sample", "--n", "1", "--steps", "2"],
    folder.path,
  );
  assertEquals(code, 0, err);
  const picture = decodePng(await Deno.readFile(`${folder.path}/sample.png`));
  assert(picture.width > 0 && "denoise" in picture.text);
});

Deno.test('import { generate, load } from "http://…/mod.ts" works in a stranger\'s program', async () => {
  await using server = serveRepository();
  await using folder = await temporaryFolder();
  await Deno.writeTextFile(
    `${folder.path}/main.ts`,
    `import { generate, load } from "${server.origin}/mod.ts";
await using model = await load("digits", { backend: "wasm" });
const [picture] = await generate(model, { seeds: [7], steps: 2 });
console.log(picture.width, picture.height, picture.channels, (await picture.png()).length > 100);
`,
  );
  const { code, out, err } = await deno(
    ["run", "-A", "--check", "--no-lock", "main.ts"],
    folder.path,
  );
  assertEquals(code, 0, err);
  assertStringIncludes(out, "true");
});
