/** What only a process of its own can show: exit codes, pipes, signals. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { decodePng } from "../src/image/png.ts";
import { denoise } from "./bulk_processes.ts";
import { temporaryFolder } from "./cli.ts";

const tiny = [
  "sample",
  ...["--weights", new URL("./golden/class_conditional", import.meta.url).pathname],
  ...["--backend", "native", "--threads", "1", "--n", "1"],
];
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

Deno.test("in a pipe the picture is all there is on standard output, and no progress is shown", async () => {
  const { code, stdout, stderr } = await denoise([...tiny, "--steps", "2", "--out", "-"]).output();
  assertEquals(code, 0, text(stderr));
  assertEquals(decodePng(stdout, "-").channels, 1);
  const lines = text(stderr).split("\n").filter((line) => line.startsWith("standard output:"));
  assertEquals(lines.length, 1);
  assert(!/[\r█]/.test(text(stderr)), text(stderr));
});

Deno.test("a reader that goes away ends the program without a word about pipes", async () => {
  const child = denoise([...tiny, "--steps", "1", "--quiet", "--out", "-"]).spawn();
  await child.stdout.cancel();
  const { code } = await child.status;
  const stderr = text(new Uint8Array(await new Response(child.stderr).arrayBuffer()));
  assertEquals(code, 0, stderr);
  assert(!/pipe|rror/i.test(stderr), stderr);
});

Deno.test("wrong input is exit code 2 and one line without a stack", async () => {
  const { code, stdout, stderr } = await denoise(["sample", "--steps", "none"]).output();
  assertEquals([code, text(stdout)], [2, ""]);
  assertMatch(text(stderr), /^denoise: --steps: expected [^\n]+\n$/);
});

/** A sampler that says by a file that it has begun, and never ends. */
const endless = (started: string) =>
  `export default {
  name: "endless",
  api: 1,
  async *sampler(run) {
    Deno.writeTextFileSync(${JSON.stringify(started)}, "");
    for (;;) await run.denoise(run.x, 0);
  },
};`;

Deno.test({
  name: "Ctrl-C in the middle is exit code 130, and no picture",
  ignore: Deno.build.os === "windows",
  async fn() {
    await using folder = await temporaryFolder();
    const started = `${folder.path}/started`, plugin = `${folder.path}/endless.ts`;
    await Deno.writeTextFile(plugin, endless(started));
    const out = `${folder.path}/a.png`;
    const child = denoise([...tiny, "--scheduler", plugin, "--out", out]).spawn();
    const output = child.output();
    while (!await Deno.stat(started).catch(() => false)) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    child.kill("SIGINT");
    const { code, stderr } = await output;
    assertEquals(code, 130, text(stderr));
    assertMatch(text(stderr), /denoise: stopped\n$/);
    const left = Array.from(Deno.readDirSync(folder.path), ({ name }) => name).sort();
    assertEquals(left, ["endless.ts", "started"]);
  },
});
