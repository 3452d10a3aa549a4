/** PyTorch as a contestant, where python3 has it: a process that evaluates when it is told to. */
import { writeSafetensors } from "../../src/files/safetensors.ts";
import { paramShapes } from "../../src/graph/mod.ts";
import type { MeasuredNetwork } from "../sample/networks.ts";

export interface Torch extends AsyncDisposable {
  /** One evaluation of n pictures; the mean of the output's magnitudes. */
  run(n: number): Promise<number>;
}

export async function hasTorch(): Promise<boolean> {
  try {
    const args = ["-c", "import torch, safetensors"];
    return (await new Deno.Command("python3", { args, stderr: "null" }).output()).success;
  } catch {
    return false;
  }
}

/** Starts PyTorch with a network's weights on so many threads. */
export async function startTorch(network: MeasuredNetwork, threads: number): Promise<Torch> {
  const folder = await Deno.makeTempDir({ prefix: "denoise-bench-" });
  const shapes = paramShapes(network.graph);
  const tensors = new Map(
    [...shapes].map(([name, shape]) => [name, { shape, data: network.weights.get(name)! }]),
  );
  await Deno.writeFile(`${folder}/weights.safetensors`, writeSafetensors(tensors));
  await Deno.writeTextFile(`${folder}/config.json`, JSON.stringify(network.network.json()));
  const script = decodeURIComponent(new URL("./unet.py", import.meta.url).pathname);
  const child = new Deno.Command("python3", {
    args: [script, `${folder}/config.json`, `${folder}/weights.safetensors`, `${threads}`],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  const line = async (): Promise<string> => {
    while (!text.includes("\n")) text += (await lines.read()).value ?? "\n";
    const end = text.indexOf("\n");
    const first = text.slice(0, end);
    text = text.slice(end + 1);
    return first;
  };
  await line();
  const input = child.stdin.getWriter();
  return {
    async run(n) {
      await input.write(new TextEncoder().encode(`${n}\n`));
      return Number((await line()).split(" ")[1]);
    },
    async [Symbol.asyncDispose]() {
      await input.close();
      await child.status;
      await Deno.remove(folder, { recursive: true });
    },
  };
}
