/** mod.ts from an address, as a stranger's program starts it. */
import { decodePng } from "../../src/image/png.ts";
import { serveRepository } from "../../tests/serve_repository.ts";
import { type Measured, probe } from "./target.ts";

/** Runs `sample` from loopback into an empty folder, the npm packages cached. */
export async function measureUrl(): Promise<Measured> {
  await using server = serveRepository();
  const folder = await Deno.makeTempDir({ prefix: "denoise-url-" });
  const sample = async (name: string, args: string[]) => {
    const start = performance.now();
    const { success, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [
        ...[
          "run",
          "-A",
          "--no-lock",
          `${server.origin}/mod.ts`,
          "sample",
          "--threads",
          "1",
        ],
        ...["--quiet", "--out", `${folder}/${name}.png`, ...args],
      ],
      cwd: folder,
    }).output();
    if (!success) throw new Error(new TextDecoder().decode(stderr));
    return performance.now() - start;
  };
  try {
    const coldStart = await sample("first", ["--seed", "0", "--steps", "1"]);
    const { seed, scheduler, steps } = probe;
    const asked = ["--seed", `${seed}`, "--scheduler", scheduler, "--steps", `${steps}`];
    await sample("probe", asked);
    const times = [await sample("one", ["--n", "1"]), await sample("nine", ["--n", "9"])];
    return {
      target: "import from a URL",
      coldStart,
      memory: { bytes: NaN, of: "as the library" },
      size: await fetchedBytes(server.requests),
      secondsAnImage: (times[1] - times[0]) / 8 / 1000,
      pixels: decodePng(await Deno.readFile(`${folder}/probe.png`), "probe").pixels,
      notes: [`${new Set(server.requests).size} files over http`, "batches of up to 9"],
    };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function fetchedBytes(paths: readonly string[]): Promise<number> {
  const root = new URL("../../", import.meta.url);
  let bytes = 0;
  for (const path of new Set(paths)) {
    const info = await Deno.stat(new URL(`.${path}`, root)).catch(() => undefined);
    bytes += info?.size ?? 0;
  }
  return bytes;
}
