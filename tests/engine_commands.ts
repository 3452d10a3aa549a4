/** Tells the steps of a plan: each word by the name under which its kernel reads it. */
import { assertEquals } from "@std/assert";
import { planGraph } from "../src/engine/plan/plan.ts";
import { functions, type Step, type Word } from "../src/engine/plan/step.ts";
import type { Buffer } from "../src/engine/plan/view.ts";
import { WeightStore } from "../src/engine/plan/weights.ts";
import { Graph, type Value } from "../src/graph/mod.ts";

/** The source of a kernel. */
export function kernelText(file: string): Promise<string> {
  return Deno.readTextFile(new URL(`../src/engine/kernels/${file}.ts`, import.meta.url));
}

/** The fields of a kernel's commands behind `op` and `words`; a float64 takes two words. */
async function fieldsOf(file: string, name: string): Promise<string[]> {
  const text = await kernelText(file);
  const [, body] = new RegExp(`export class ${name} \\{\\n(.*?)\\n\\}`, "s").exec(text)!;
  const fields = await Promise.all(
    [...body.matchAll(/^ {2}(\w+): (\w+);/gm)].map(([, field, type]) => {
      if (type === "Output") return fieldsOf("output", "Output");
      return type === "f64" ? [field, "…"] : [field];
    }),
  );
  return fields.flat().filter((field) => field !== "op" && field !== "words");
}

/** The words of each operation's commands. */
const kernels: Record<string, string[]> = {};
for (
  const [file, classes] of Object.entries({
    winograd: { winograd: "Winograd" },
    conv: { conv: "Conv" },
    norm: { groupNorm: "Norm" },
    attention: { attention: "Attention" },
    tensors: {
      matmul: "Matmul",
      elementwise: "Elementwise",
      softmax: "Softmax",
      reduce: "Reduce",
      gather: "Gather",
      resample: "Resample",
      fill: "Fill",
    },
    pack: { packConv: "PackConv", packWinograd: "PackWinograd", packKernels: "PackKernels" },
  })
) {
  for (const [op, name] of Object.entries(classes)) kernels[op] = await fieldsOf(file, name);
}

/** A command as "op, field value, …"; what is 0 is left out. */
export function command(op: string, values: readonly string[]): string {
  const fields = kernels[op];
  assertEquals(values.length, fields.length, `${op} has as many words as its kernel reads`);
  const said = fields.flatMap((field, i) => {
    const [, name, number] = /^([a-z])(\d)$/.exec(field) ?? [];
    if (!fields.includes(`${name}4`)) return values[i] === "0" ? [] : [`${field} ${values[i]}`];
    // Of five loops: their sizes, or the bytes of a step of each.
    return number === "0" ? [`${name}… ${values.slice(i, i + 5).join(" ")}`] : [];
  });
  return [op, ...said].join(", ");
}

/** Names buffers in the order in which steps meet them: results a, b, … and weights w0, w1, …. */
class Names {
  readonly #names = new Map<Buffer, string>();
  readonly #counts = { arena: 0, weights: 0 };

  of(buffer: Buffer): string {
    if (!this.#names.has(buffer)) {
      const number = this.#counts[buffer.kind]++;
      const results = String.fromCharCode(97 + number);
      this.#names.set(buffer, buffer.kind === "arena" ? results : `w${number}`);
    }
    return this.#names.get(buffer)!;
  }

  /** What each of them takes. */
  get bytes(): string {
    return `bytes ${[...this.#names].map(([{ bytes }, name]) => `${name} ${bytes}`).join(", ")}`;
  }
}

const functionNames = Object.fromEntries(
  Object.entries(functions).map(([name, number]) => [number, name]),
);

/** A step as a command; places are a buffer and the elements before. */
function told({ op, words }: Step, names: Names): string {
  const values = words.flatMap((word: Word) => {
    if (typeof word === "number") return [String(word)];
    if ("place" in word) {
      const { buffer, offset } = word.place;
      return [names.of(buffer) + (offset ? `+${offset}` : "")];
    }
    if ("double" in word) return [String(word.double), "0"];
    return "float" in word ? [String(word.float)] : ["0", String(word.scratch)];
  });
  if (op === "elementwise") values[0] = functionNames[Number(values[0])];
  return command(op, values);
}

export interface Options {
  threads?: number;
  half?: boolean;
  /** Of this operation's steps alone. */
  only?: Step["op"];
}

/** The steps of a graph, and the bytes of what they touch. */
export function steps(
  make: (graph: Graph) => Value | Value[],
  { threads = 1, half, only }: Options = {},
): string[] {
  const graph = new Graph();
  [make(graph)].flat().forEach((value, i) => graph.output(`y${i}`, value));
  const weights = new WeightStore(half === undefined ? undefined : () => half);
  const plan = planGraph(graph, { weights, sizes: new Map(), threads });
  const names = new Names();
  const wanted = plan.steps.filter(({ op }) => only === undefined || op === only);
  return [...wanted.map((step) => told(step, names)), names.bytes];
}
