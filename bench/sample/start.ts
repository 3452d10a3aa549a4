/** From the start of the process to the first evaluation, with dependencies in the cache. */
import { median } from "./measure.ts";

interface Moments {
  started: number;
  imported: number;
  loaded: number;
  evaluated: number;
}

/** Milliseconds; the first process is not counted. */
export async function measureStart(backend: string, repeats: number) {
  const wall: number[] = [];
  const inside: Moments[] = [];
  for (let i = -1; i < repeats; i++) {
    const start = performance.now();
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", import.meta.resolve("./first_evaluation.ts"), backend],
      stdout: "piped",
    }).spawn();
    const { value } = await child.stdout.pipeThrough(new TextDecoderStream()).getReader().read();
    if (i >= 0) {
      wall.push(performance.now() - start);
      inside.push(JSON.parse(value!));
    }
    await child.status;
  }
  const of = (pick: (m: Moments) => number) => Math.round(median(inside.map(pick)));
  return {
    backend,
    "process start to first evaluation, ms": Math.round(median(wall)),
    "of it: imports": of((m) => m.imported - m.started),
    "weights, graph, session": of((m) => m.loaded - m.imported),
    "first evaluation": of((m) => m.evaluated - m.loaded),
    fastest: Math.round(Math.min(...wall)),
  };
}
