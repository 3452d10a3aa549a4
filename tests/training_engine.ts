/** An engine that trains nothing: it keeps what it is fed, and gives numbers that are known. */
import type { Backend, Session, Tensors } from "../src/backends/backend.ts";
import type { Graph } from "../src/graph/mod.ts";

/** One run of a session. */
export interface EngineRun {
  readonly graph: Graph;
  readonly feeds: Tensors;
}

/** What is counted of an engine, and what it answers. */
export interface RecordingEngine extends Backend {
  readonly runs: EngineRun[];
  /** Sessions that are open. */
  open: number;
  /** Losses and norms of the runs to come, in turn; after them 0.5 and 1. */
  readonly losses: number[];
  readonly norms: number[];
}

/** θ goes up by 1 each update, its mean by 2, m by 3, v by 4, and a sum of gradients by 5. */
export function recordingEngine(): RecordingEngine {
  const engine: RecordingEngine = {
    name: "recording",
    runs: [],
    open: 0,
    losses: [],
    norms: [],
    createSession(graph) {
      engine.open++;
      const session: Session = {
        inputNames: [...graph.inputs.keys()],
        outputNames: [...graph.outputs.keys()],
        run(feeds) {
          engine.runs.push({ graph, feeds: copyOf(feeds) });
          return Promise.resolve(answer(engine, graph, feeds));
        },
        async close() {
          await new Promise((resolve) => setTimeout(resolve, 0));
          engine.open--;
        },
      };
      return Promise.resolve(session);
    },
  };
  return engine;
}

function copyOf(feeds: Tensors): Tensors {
  return Object.fromEntries(
    Object.entries(feeds).map(([name, { data, dims }]) => [name, { data: data.slice(), dims }]),
  );
}

function answer(engine: RecordingEngine, graph: Graph, feeds: Tensors): Tensors {
  const scalar = (x: number) => ({ data: Float32Array.of(x), dims: [] });
  const moved = (name: string, by: number) => {
    const { data, dims } = feeds[name];
    return { data: (data as Float32Array).map((x) => x + by), dims };
  };
  const outputs: Record<string, () => Tensors[string]> = {
    loss: () => scalar(engine.losses.shift() ?? 0.5),
    grad_norm: () => scalar(engine.norms.shift() ?? 1),
    losses: () => ({
      data: (feeds.timestep.data as Float32Array).slice(),
      dims: feeds.timestep.dims,
    }),
    new_theta: () => moved("theta", 1),
    new_ema: () => moved("ema", 2),
    new_m: () => moved("m", 3),
    new_v: () => moved("v", 4),
    new_grad_sum: () => moved("grad_sum", 5),
    out_sample: () => ({
      data: new Float32Array(feeds.sample.data.length),
      dims: feeds.sample.dims,
    }),
  };
  return Object.fromEntries([...graph.outputs.keys()].map((name) => [name, outputs[name]()]));
}
