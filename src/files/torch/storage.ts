/** PyTorch's storages, and tensors as views into them. */
import { InputError } from "../../errors.ts";
import { bfloatToFloat, halfToFloat } from "../half.ts";
import type { SafeTensor } from "../safetensors.ts";
import { PickleGlobal, type PickleReader, PLAIN, Tuple } from "./pickle.ts";

/** Bytes of an element by the storage's class. */
const itemSizes: Readonly<Record<string, number>> = {
  FloatStorage: 4,
  DoubleStorage: 8,
  HalfStorage: 2,
  BFloat16Storage: 2,
  LongStorage: 8,
  IntStorage: 4,
  ShortStorage: 2,
  CharStorage: 1,
  ByteStorage: 1,
  BoolStorage: 1,
};
/** Storages whose numbers are weights; others count or choose something. */
const floats = ["FloatStorage", "DoubleStorage", "HalfStorage", "BFloat16Storage"];

const MAX_RANK = 8;
/** The most items of all dicts that are made of lists: one list may be named again and again. */
const MAX_COPIED = 1_000_000;

/** A storage that the pickle names; its bytes lie elsewhere in the file. */
export interface Storage {
  readonly type: string;
  readonly key: string;
  /** Elements. */
  readonly length: number;
}

/** A tensor before its numbers are read. */
export class TensorView {
  constructor(
    readonly storage: Storage,
    readonly offset: number,
    readonly shape: readonly number[],
    readonly strides: readonly number[],
  ) {}

  get isFloat(): boolean {
    return floats.includes(this.storage.type);
  }
}

/** Gives what a PyTorch file's pickle asks for: storages, tensors, ordered dicts; nothing else. */
export function torchReader(where: string): PickleReader & { readonly storages: Storage[] } {
  const storages: Storage[] = [];
  let copied = 0;
  const fail = (problem: string): never => {
    throw new InputError(`${where}: ${problem}`);
  };
  const calls: Record<string, (args: readonly unknown[]) => unknown> = {
    "collections.OrderedDict": ([pairs]) => {
      if (pairs === undefined) return new Map();
      if (!Array.isArray(pairs)) return fail("an OrderedDict of no list");
      copied += pairs.length;
      if (copied > MAX_COPIED) return fail(`OrderedDicts of more than ${MAX_COPIED} items`);
      return new Map(pairs.map((pair) => {
        const items = pair instanceof Tuple ? pair.items : pair;
        return Array.isArray(items) && items.length === 2
          ? [items[0], items[1]]
          : fail("an OrderedDict of no pairs");
      }));
    },
    "torch._utils._rebuild_tensor": (args) => tensorOf(args, fail),
    "torch._utils._rebuild_tensor_v2": (args) => tensorOf(args, fail),
    "torch._utils._rebuild_parameter": ([data]) =>
      data instanceof TensorView ? data : fail("a Parameter without its tensor"),
    "torch.Size": ([sizes]) => sizes,
    "torch.device": ([name]) => name,
  };
  return {
    storages,
    reduce(callee, args) {
      const name = String(callee);
      if (Object.hasOwn(calls, name)) return calls[name](args);
      return fail(
        `the pickle calls ${name}, which is not run; ${PLAIN}`,
      );
    },
    persistent(id) {
      const storage = storageOf(id, fail);
      storages.push(storage);
      return storage;
    },
  };
}

type Fail = (problem: string) => never;

const natural = (x: unknown): x is number => Number.isSafeInteger(x) && (x as number) >= 0;

function storageOf(id: unknown, fail: Fail): Storage {
  const [kind, type, key, , length, view] = id instanceof Tuple ? id.items : [];
  if (kind !== "storage" || !(type instanceof PickleGlobal) || !natural(length)) {
    return fail("the pickle names something outside it that is no storage");
  }
  if (type.module !== "torch" || !Object.hasOwn(itemSizes, type.name)) {
    return fail(
      `a storage of the type ${type}; read are ${Object.keys(itemSizes).join(", ")} of torch`,
    );
  }
  if (typeof key !== "string" || (view !== undefined && view !== null)) {
    return fail("a storage that is part of another is not read");
  }
  return { type: type.name, key, length };
}

function isStorage(x: unknown): x is Storage {
  return typeof x === "object" && x !== null && "type" in x && "key" in x;
}

function naturals(x: unknown): readonly number[] | undefined {
  const items: unknown = x instanceof Tuple ? x.items : x;
  return Array.isArray(items) && items.length <= MAX_RANK && items.every(natural)
    ? items
    : undefined;
}

function tensorOf(args: readonly unknown[], fail: Fail): TensorView {
  const [storage, offset, size, stride] = args;
  const shape = naturals(size), strides = naturals(stride);
  if (
    !isStorage(storage) || !natural(offset) || !shape || !strides ||
    shape.length !== strides.length
  ) {
    return fail("a tensor without its storage, shape and strides");
  }
  const count = shape.reduce((a, b) => a * b, 1);
  const last = shape.reduce((sum, d, i) => sum + (d - 1) * strides[i], offset);
  if (count > storage.length || (count > 0 && last >= storage.length)) {
    return fail(
      `a tensor of shape [${shape}] does not lie within its storage of ${storage.length} numbers`,
    );
  }
  return new TensorView(storage, offset, shape, strides);
}

/** The bytes that a storage takes. */
export function storageBytes({ type, length }: Storage): number {
  return length * itemSizes[type];
}

/** The numbers of a storage as float32. */
function numbersOf(type: string, bytes: Uint8Array): Float32Array {
  const size = itemSizes[type];
  const aligned = bytes.byteOffset % size === 0 ? bytes : bytes.slice();
  const place = [aligned.buffer, aligned.byteOffset, aligned.byteLength / size] as const;
  switch (type) {
    case "FloatStorage":
      return new Float32Array(...place);
    case "DoubleStorage":
      return new Float32Array(new Float64Array(...place));
    case "HalfStorage":
      return halfToFloat(new Uint16Array(...place));
    default:
      return bfloatToFloat(new Uint16Array(...place));
  }
}

/** How often the numbers of a storage are copied at most: each tensor in another order is a copy. */
const MAX_COPIES = 8;

/** Reads tensors; several may lie on one storage, which is then converted once. */
export class TensorReader {
  readonly #numbers = new Map<string, Float32Array>();
  readonly #copied = new Map<string, number>();

  /** @param bytesOf a storage's bytes, as many as {@link storageBytes} says */
  constructor(
    readonly bytesOf: (storage: Storage) => Uint8Array,
    readonly where: string,
  ) {}

  /** @throws InputError where tensors in other orders would make many copies of one storage */
  read({ storage, offset, shape, strides }: TensorView): SafeTensor {
    let numbers = this.#numbers.get(storage.key);
    if (!numbers) {
      numbers = numbersOf(storage.type, this.bytesOf(storage));
      this.#numbers.set(storage.key, numbers);
    }
    const count = shape.reduce((a, b) => a * b, 1);
    if (isRowMajor(shape, strides)) {
      return { shape, data: numbers.subarray(offset, offset + count) };
    }
    const copied = (this.#copied.get(storage.key) ?? 0) + count;
    if (copied > MAX_COPIES * storage.length) {
      throw new InputError(
        `${this.where}: tensors in other orders than their storage ${storage.key} copy its ${storage.length} numbers more than ${MAX_COPIES} times`,
      );
    }
    this.#copied.set(storage.key, copied);
    const data = new Float32Array(count);
    const index = new Array(shape.length).fill(0);
    let from = offset;
    for (let to = 0; to < count; to++) {
      data[to] = numbers[from];
      for (let axis = shape.length - 1; axis >= 0; axis--) {
        from += strides[axis];
        if (++index[axis] < shape[axis]) break;
        from -= shape[axis] * strides[axis];
        index[axis] = 0;
      }
    }
    return { shape, data };
  }
}

function isRowMajor(shape: readonly number[], strides: readonly number[]): boolean {
  let expected = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] !== 1 && strides[axis] !== expected) return false;
    expected *= shape[axis];
  }
  return true;
}
