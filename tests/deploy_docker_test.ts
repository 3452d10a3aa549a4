/** The Dockerfile's commands in order, in this file system instead of an image's. */
import { assert, assertEquals } from "@std/assert";
import { answer, freePort } from "../bench/edge/process.ts";
import { temporaryFolder } from "./cli.ts";

const root = new URL("../", import.meta.url);

interface Instruction {
  readonly name: string;
  readonly text: string;
}

async function instructions(): Promise<Instruction[]> {
  const text = await Deno.readTextFile(new URL("deploy/docker/Dockerfile", root));
  return text.replace(/^#.*$/gm, "").replaceAll("\\\n", " ").split("\n")
    .map((line) => /^([A-Z]+)\s+(.*)$/.exec(line.trim()))
    .filter((match) => match !== null)
    .map(([, name, text]) => ({ name, text }));
}

async function one(name: string): Promise<string> {
  const found = (await instructions()).filter((instruction) => instruction.name === name);
  assertEquals(found.length, 1, name);
  return found[0].text;
}

Deno.test("docker: what runs is not root, and comes from the build stage", async () => {
  const all = await instructions();
  const lastFrom = all.findLastIndex(({ name }) => name === "FROM");
  const final = all.slice(lastFrom);
  const user = final.find(({ name }) => name === "USER")!.text;
  assert(user !== "root");
  assert(final.some(({ name, text }) => name === "RUN" && text.includes(`useradd`)));
  assert(all.filter(({ name }) => name === "FROM").length >= 2);
  const entry = JSON.parse(await one("ENTRYPOINT")) as string[];
  assert(!entry.includes("-A") && !entry.includes("--allow-all"));
});

Deno.test("docker: every file that the build caches is there, and is all that serving loads", async () => {
  const build =
    (await instructions()).find(({ name, text }) =>
      name === "RUN" && text.startsWith("deno cache")
    )!.text;
  await using folder = await temporaryFolder();
  // A copy, because an image has no lock of a working tree to disturb.
  const copy = await new Deno.Command("bash", {
    args: [
      "-c",
      `git ls-files -z -- mod.ts deno.json src schedulers weights | xargs -0 -I{} \
      cp --parents -- {} "${folder.path}"`,
    ],
    cwd: root,
  }).output();
  assert(copy.success, new TextDecoder().decode(copy.stderr));
  const cached = await new Deno.Command("bash", { args: ["-c", build], cwd: folder.path }).output();
  assert(cached.success, new TextDecoder().decode(cached.stderr));

  const port = freePort();
  const here = (text: string) =>
    text.replaceAll(":8000", `:${port}`).replaceAll("/pictures", folder.path);
  const [command, ...entry] = (JSON.parse(await one("ENTRYPOINT")) as string[]).map(here);
  const health = /CMD (.*)$/.exec(await one("HEALTHCHECK"))![1];
  const cmd = (await instructions()).filter(({ name }) => name === "CMD").at(-1)!.text;
  const args = (JSON.parse(cmd) as string[]).map((arg) => arg === "8000" ? String(port) : arg);
  assertEquals(command, "deno");
  const server = new Deno.Command(Deno.execPath(), {
    args: [...entry, ...args],
    cwd: folder.path,
    stdout: "null",
    stderr: "inherit",
  }).spawn();
  try {
    await (await answer(new URL(`http://127.0.0.1:${port}/readyz`))).body?.cancel();
    const [, ...check] = (JSON.parse(health) as string[]).map(here);
    const { success } = await new Deno.Command(Deno.execPath(), { args: check }).output();
    assert(success, "the health check");
    const picture = await fetch(`http://127.0.0.1:${port}/v1/images/1.png?steps=1`);
    await picture.body?.cancel();
    assertEquals(picture.status, 200);
  } finally {
    server.kill("SIGTERM");
  }
  assertEquals((await server.status).code, 0, "it drains on SIGTERM");
});
