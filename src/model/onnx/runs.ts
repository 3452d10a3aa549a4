/** Pictures through a graph in the runs that it allows. */
import type { Session, Tensor } from "../../backends/backend.ts";
import { roundHalfEven } from "../../diffusion/mod.ts";
import type { OnnxFile } from "../../weights/read/onnx/file.ts";
import type { Port } from "../../weights/read/onnx/ports.ts";

/** Predictions for N pictures: [N, channels, H, W] flattened. */
export interface Predicted {
  readonly data: Float32Array;
  readonly channels: number;
}

/**
 * Runs of one graph. Pictures share a run as far as the graph's inputs let them: it may have been
 * exported for a fixed batch (the last run is filled up with copies), or take one timestep or label
 * for all pictures of a run. Whole-number timesteps are rounded.
 */
export class GraphRuns {
  /** The batch that the graph was exported for; undefined takes any. */
  readonly #fixed: number | undefined;

  constructor(
    readonly file: Pick<OnnxFile, "ports" | "shape">,
    readonly session: Pick<Session, "run">,
  ) {
    const [batch] = file.ports.sample.dims!;
    this.#fixed = typeof batch === "number" ? batch : undefined;
  }

  /** @throws Error where the engine fails, or gives something else than predictions. */
  async evaluate(x: Float32Array, t: Float32Array, labels?: Int32Array): Promise<Predicted> {
    const { timestep, classLabels } = this.file.ports;
    const times = timestep.type === "float32" ? t : t.map(roundHalfEven);
    const size = x.length / t.length;
    let predicted: Predicted | undefined;
    for (const pictures of this.#together(times, labels)) {
      const filled = this.#fixed
        ? Array.from({ length: this.#fixed }, (_, i) => pictures[i] ?? pictures[0])
        : pictures;
      const picked = new Float32Array(filled.length * size);
      filled.forEach((n, i) => picked.set(x.subarray(n * size, (n + 1) * size), i * size));
      const feeds = {
        [this.file.ports.sample.name]: {
          data: picked,
          dims: [filled.length, ...this.file.shape],
        },
        [timestep.name]: this.#fed(timestep, filled.map((n) => times[n])),
        ...(classLabels &&
          { [classLabels.name]: this.#fed(classLabels, filled.map((n) => labels![n])) }),
      };
      const { data, channels } = this.#checked(await this.session.run(feeds), filled.length);
      predicted ??= { data: new Float32Array(channels / this.file.shape[0] * x.length), channels };
      const outSize = data.length / filled.length;
      for (const [i, n] of pictures.entries()) {
        predicted.data.set(data.subarray(i * outSize, (i + 1) * outSize), n * outSize);
      }
    }
    return predicted!;
  }

  /** The pictures of each run. */
  #together(times: Float32Array, labels?: Int32Array): number[][] {
    const { timestep, classLabels } = this.file.ports;
    const key = (n: number) =>
      [
        this.#isShared(timestep) ? times[n] : "",
        classLabels && this.#isShared(classLabels) ? labels![n] : "",
      ].join();
    const pictures = Array.from(times, (_, n) => n);
    const most = this.#fixed ?? pictures.length;
    return [...Map.groupBy(pictures, key).values()].flatMap((alike) =>
      Array.from(
        { length: Math.ceil(alike.length / most) },
        (_, i) => alike.slice(i * most, (i + 1) * most),
      )
    );
  }

  /** Whether an input takes one number for all pictures of a run. */
  #isShared({ dims }: Port): boolean {
    return dims!.length === 0 || dims![0] === 1;
  }

  #fed(port: Port, numbers: readonly number[]): Tensor {
    const given = this.#isShared(port) ? numbers.slice(0, 1) : numbers;
    const dims = port.dims!.length === 0 ? [] : [given.length];
    switch (port.type) {
      case "int64":
        return { data: BigInt64Array.from(given, BigInt), dims };
      case "int32":
        return { data: Int32Array.from(given), dims };
      default:
        return { data: Float32Array.from(given), dims };
    }
  }

  #checked(results: Record<string, Tensor>, batch: number): Predicted {
    const { name } = this.file.ports.output;
    const { data, dims } = results[name];
    const [channels, height, width] = this.file.shape;
    const fits = dims.length === 4 && dims[0] === batch && dims[2] === height &&
      dims[3] === width && (dims[1] === channels || dims[1] === 2 * channels);
    if (fits && data instanceof Float32Array) return { data, channels: dims[1] };
    throw new Error(
      `output ${name}: expected [${batch}, ${channels} or ${
        2 * channels
      }, ${height}, ${width}], found [${dims.join(", ")}]`,
    );
  }
}
