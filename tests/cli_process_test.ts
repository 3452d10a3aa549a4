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
  const child = denoise([...tiny, "--steps", "1", "-q", "--out", "-"]).spawn();
  await child.stdout.cancel();
  const { code } = await child.status;
  const stderr = text(new Uint8Array(await new Response(child.stderr).arrayBuffer()));
  assertEquals([code, stderr], [0, ""], "nor about anything else, as it is to be quiet");
});

Deno.test("wrong input is exit code 2 and one line without a stack", async () => {
  const { code, stdout, stderr } = await denoise(["sample", "--steps", "none"]).output();
  assertEquals([code, text(stdout)], [2, ""]);
  assertMatch(text(stderr), /^denoise: --steps: expected [^\n]+\n$/);
});

/** A sampler that says by a file that it has begun, and runs this after it. */
const sampler = (started: string, rest: string) =>
  `export default {
  name: "endless",
  api: 1,
  async *sampler(run) {
    Deno.writeTextFileSync(${JSON.stringify(started)}, "");
    ${rest}
  },
};`;

/** Waits until a file is there, unless what makes it has ended. */
async function appears(path: string, output: Promise<Deno.CommandOutput>): Promise<void> {
  let over = false;
  output.then(() => over = true);
  while (!await Deno.stat(path).catch(() => false)) {
    if (over) throw new Error(`ended without ${path}: ${text((await output).stderr)}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Starts to sample with a plug-in. */
async function started(folder: string, rest: string) {
  const file = `${folder}/started`, plugin = `${folder}/endless.ts`;
  await Deno.writeTextFile(plugin, sampler(file, rest));
  const child = denoise([...tiny, "--scheduler", plugin, "--out", `${folder}/a.png`]).spawn();
  const output = child.output();
  await appears(file, output);
  return { child, output };
}

Deno.test({
  name: "Ctrl-C in the middle is exit code 130, and no picture",
  ignore: Deno.build.os === "windows",
  async fn() {
    await using folder = await temporaryFolder();
    const { child, output } = await started(
      folder.path,
      "for (;;) await run.denoise(run.x, 0);",
    );
    child.kill("SIGINT");
    const { code, stderr } = await output;
    assertEquals(code, 130, text(stderr));
    assertMatch(text(stderr), /denoise: stopped\n$/);
    const left = Array.from(Deno.readDirSync(folder.path), ({ name }) => name).sort();
    assertEquals(left, ["endless.ts", "started"]);
  },
});

Deno.test({
  name: "a second Ctrl-C does not wait for what does not end",
  ignore: Deno.build.os === "windows",
  async fn() {
    await using folder = await temporaryFolder();
    // Says when it has heard the first, and how many more it hears: the third ends it whatever happens.
    const heard = `${folder.path}/heard`;
    const deaf = `let times = 0;
    Deno.addSignalListener("SIGINT", () => {
      if (++times === 3) Deno.exit(3);
      Deno.writeTextFileSync(${JSON.stringify(heard)} + times, "");
    });
    await new Promise(() => setInterval(() => {}, 1000));`;
    const { child, output } = await started(folder.path, deaf);
    child.kill("SIGINT");
    await appears(`${heard}1`, output);
    child.kill("SIGINT");
    const second = appears(`${heard}2`, output).then(() => child.kill("SIGINT"), () => {});
    const { code, stderr } = await output;
    await second;
    assertEquals(code, 130, text(stderr));
  },
});
