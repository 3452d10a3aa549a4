/** Whether a bulk run's memory grows with its pictures. Linux only. */
import { decodePng } from "../src/image/png.ts";
import { readFlags } from "./flags.ts";

const { weights, pictures } = readFlags(
  "Compares a bulk run's resident memory at picture 200 and at the last. Linux only.",
  { weights: ["digits", "weights to sample"], pictures: [2000, "pictures to make"] },
);
const EARLY = 200;
/** How much more the end may hold than the beginning. */
const MOST = 1.1;

const folder = await Deno.makeTempDir({ prefix: "denoise-bulk-" });
const denoise = (args: string[]) =>
  new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "-A", "--no-lock", new URL("../mod.ts", import.meta.url).pathname, "sample"],
      ...["--weights", weights, "--steps", "2", "--threads", "1", "--quiet", ...args],
    ],
    stdout: "null",
  });

async function residentBytes(pid: number): Promise<number> {
  const status = await Deno.readTextFile(`/proc/${pid}/status`);
  return Number(/VmRSS:\s*(\d+) kB/.exec(status)![1]) * 1024;
}

try {
  await denoise(["--seed", "0", "--out", `${folder}/one.png`]).output();
  const { width, height, channels } = decodePng(await Deno.readFile(`${folder}/one.png`));
  const child = denoise(["--seeds", `0-${pictures - 1}`, "--out", `${folder}/all.npz`]).spawn();
  const made = async () => {
    const spool = await Deno.stat(`${folder}/all.npz.pixels`).catch(() => undefined);
    return Math.floor((spool?.size ?? 0) / (width * height * channels));
  };
  let [early, last] = [0, 0];
  let ended = false;
  const status = child.status.finally(() => ended = true);
  while (!ended) {
    const bytes = await residentBytes(child.pid).catch(() => 0);
    const done = await made();
    if (done >= EARLY && !early) early = bytes;
    if (done > EARLY && bytes) last = bytes;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const { success } = await status;
  if (!success || !early) throw new Error("the run failed, or was over before it was looked at");
  const mega = (bytes: number) => `${(bytes / 1e6).toFixed(0)} MB`;
  console.log(
    `${weights}: ${mega(early)} at picture ${EARLY}, ${mega(last)} at ${pictures}: × ${
      (last / early).toFixed(3)
    } (at most ${MOST})`,
  );
  if (last > early * MOST) Deno.exit(1);
} finally {
  await Deno.remove(folder, { recursive: true });
}
