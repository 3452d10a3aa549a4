/** The flat vector that is trained: where each parameter lies in it, and the optimiser's state beside it. */

export interface ParamPlace {
  readonly name: string;
  readonly shape: readonly number[];
  /** The first element's index in the flat vector. */
  readonly offset: number;
  readonly size: number;
}

export interface ParamLayout {
  /** In the order of the flat vector: by name, as safetensors writes its data section. */
  readonly params: readonly ParamPlace[];
  /** Elements in the flat vector. */
  readonly size: number;
}

/** The layout of parameters whose shapes are known by name. */
export function layoutOf(shapes: ReadonlyMap<string, readonly number[]>): ParamLayout {
  let offset = 0;
  const params = [...shapes.keys()].sort().map((name) => {
    const shape = shapes.get(name)!;
    const size = shape.reduce((n, d) => n * d, 1);
    const place = { name, shape, offset, size };
    offset += size;
    return place;
  });
  return { params, size: offset };
}

/** Tensors by name → one flat vector. Throws where one is missing or of another size. */
export function packParams(
  layout: ParamLayout,
  tensors: ReadonlyMap<string, Float32Array>,
): Float32Array<ArrayBuffer> {
  const flat = new Float32Array(layout.size);
  for (const { name, offset, size } of layout.params) {
    const data = tensors.get(name);
    if (data?.length !== size) {
      throw new Error(
        `parameter "${name}": expected ${size} numbers, found ${data?.length ?? "none"}`,
      );
    }
    flat.set(data, offset);
  }
  return flat;
}

/** One flat vector → tensors by name, in file order. The tensors are views of the vector. */
export function unpackParams(
  layout: ParamLayout,
  flat: Float32Array,
): Map<string, { readonly shape: readonly number[]; readonly data: Float32Array }> {
  if (flat.length !== layout.size) {
    throw new Error(`expected a vector of ${layout.size} parameters, found ${flat.length}`);
  }
  return new Map(
    layout.params.map(({ name, shape, offset, size }) => [
      name,
      { shape, data: flat.subarray(offset, offset + size) },
    ]),
  );
}

/** Flat vectors in {@link ParamLayout}'s order. */
export interface TrainState {
  /** The parameters. */
  readonly theta: Float32Array;
  /** Adam's running means of g and of g² (Kingma & Ba 2015, alg. 1). */
  readonly m: Float32Array;
  readonly v: Float32Array;
  /** The running mean of the parameters, which is what samples well. */
  readonly ema: Float32Array;
}

/** The state before the first step: no moments, the running mean at the parameters themselves. */
export function initialState(theta: Float32Array): TrainState {
  return {
    theta,
    m: new Float32Array(theta.length),
    v: new Float32Array(theta.length),
    ema: theta.slice(),
  };
}
