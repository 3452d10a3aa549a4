/** Command lines as processes of their own, for what only processes can show. */

const root = new URL("../", import.meta.url);
const WEIGHTS = new URL("golden/class_conditional/", import.meta.url).pathname;

/** What every run here asks for: one evaluation at a time, so that pictures come one by one. */
export const request = ["--weights", WEIGHTS, "--steps", "2", "--batch", "1", "--threads", "1"];

export function denoise(args: readonly string[], prefix: readonly string[] = []): Deno.Command {
  const [command, ...rest] = [
    ...prefix,
    Deno.execPath(),
    ...["run", "-A", "--no-lock", new URL("mod.ts", root).pathname],
    ...args,
  ];
  return new Deno.Command(command, { args: rest, stdout: "piped", stderr: "piped" });
}

export interface Ended {
  readonly code: number;
  readonly err: string;
}

export async function run(
  args: readonly string[],
  prefix: readonly string[] = [],
): Promise<Ended> {
  const { code, stderr } = await denoise(args, prefix).output();
  return { code, err: new TextDecoder().decode(stderr).trim() };
}

/** Runs a command line that has to succeed. */
export async function succeed(args: readonly string[]): Promise<Ended> {
  const ended = await run(args);
  if (ended.code !== 0) throw new Error(`${args.join(" ")}: ${ended.err}`);
  return ended;
}

/** Starts a command line, and ends it with SIGKILL as soon as `far` says that it is in the middle. */
export async function killWhen(
  args: readonly string[],
  far: () => Promise<boolean>,
): Promise<void> {
  const child = denoise(args).spawn();
  const output = child.output();
  let ended = false;
  child.status.then(() => ended = true);
  while (!ended && !await far()) await new Promise((resolve) => setTimeout(resolve, 2));
  if (ended) throw new Error(`ended before it was killed: ${await errorOf(output)}`);
  child.kill("SIGKILL");
  await output;
}

async function errorOf(output: Promise<Deno.CommandOutput>): Promise<string> {
  return new TextDecoder().decode((await output).stderr);
}

/** The files of a folder with their bytes' hashes. */
export async function contents(folder: string): Promise<Record<string, string>> {
  const found: [string, string][] = [];
  for await (const { name } of Deno.readDir(folder)) {
    found.push([name, await hashOf(`${folder}/${name}`)]);
  }
  return Object.fromEntries(found.sort(([a], [b]) => a < b ? -1 : 1));
}

export async function hashOf(path: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", await Deno.readFile(path));
  return new Uint8Array(digest).toHex();
}

export async function countFiles(folder: string, ending: string): Promise<number> {
  let count = 0;
  try {
    for await (const { name } of Deno.readDir(folder)) if (name.endsWith(ending)) count++;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return count;
}

export async function sizeOf(path: string): Promise<number> {
  return (await Deno.stat(path).catch(() => undefined))?.size ?? 0;
}
