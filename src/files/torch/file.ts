/**
 * Files of torch.save: a zip since PyTorch 1.6, before that pickles and storages one after another.
 * Source: torch/serialization.py.
 */
import { InputError, shown } from "../../errors.ts";
import type { SafeTensor } from "../safetensors.ts";
import { readZip } from "../zip.ts";
import { Tuple, unpickle } from "./pickle.ts";
import { type Storage, storageBytes, TensorReader, TensorView, torchReader } from "./storage.ts";

/** The first object of a file from before PyTorch 1.6. */
const LEGACY_MAGIC = 0x1950a86a20f9469cfc6cn;
const LEGACY_PROTOCOL = 1001;

/**
 * Keys under which training programs keep the weights among other things, the running mean first: of
 * train loops of one's own, Lightning, accelerate and lucidrains.
 */
const STATE_KEYS = [
  "ema_state_dict",
  "ema_model",
  "model_ema",
  "ema",
  "state_dict",
  "model_state_dict",
  "model",
  "unet",
  "net",
  "module",
];

/**
 * The tensors of a state dict as float32, wherever in the file it lies. Whole numbers, which are no
 * weights, are left out. Nothing of the file runs.
 * @throws InputError naming what is no tensor, number, string, list or dict, or does not fit its bytes
 */
export async function parseTorch(
  bytes: Uint8Array,
  where: string,
): Promise<Map<string, SafeTensor>> {
  const isZip = bytes[0] === 0x50 && bytes[1] === 0x4b;
  const { value, bytesOf } = isZip ? await readZipped(bytes, where) : readLegacy(bytes, where);
  const tensors = new TensorReader((storage) => {
    const stored = bytesOf(storage.key);
    const expected = storageBytes(storage);
    if (stored?.length !== expected) {
      throw new InputError(
        `${where}: storage ${storage.key} has ${
          stored?.length ?? "no"
        } bytes, its ${storage.length} numbers need ${expected}`,
      );
    }
    return stored;
  }, where);
  return new Map(
    [...stateDict(value, where)].map(([name, view]) => [name, tensors.read(view)]),
  );
}

interface TorchObject {
  readonly value: unknown;
  readonly bytesOf: (key: string) => Uint8Array | undefined;
}

async function readZipped(bytes: Uint8Array, where: string): Promise<TorchObject> {
  const files = await readZip(bytes, where);
  const pickle = [...files.keys()].find((name) => /^(?:[^/]+\/)?data\.pkl$/.test(name));
  if (pickle === undefined) {
    throw new InputError(`${where}: expected what torch.save writes, found a zip without data.pkl`);
  }
  const root = pickle.slice(0, -"data.pkl".length);
  if ([...files.keys()].some((name) => name.startsWith(`${root}code/`))) {
    throw new InputError(
      `${where}: a TorchScript program, which is code; save model.state_dict() instead`,
    );
  }
  const order = files.get(`${root}byteorder`);
  if (order && new TextDecoder().decode(order) !== "little") {
    throw new InputError(`${where}: expected numbers of little endian, found big`);
  }
  const { value } = unpickle(files.get(pickle)!, 0, where, torchReader(where));
  return { value, bytesOf: (key) => files.get(`${root}data/${key}`) };
}

function readLegacy(bytes: Uint8Array, where: string): TorchObject {
  const plain = torchReader(where);
  const other = (): never => {
    throw new InputError(`${where}: expected what torch.save writes, found another format`);
  };
  // Protocol 2 and a LONG1 of ten bytes.
  if (bytes[0] !== 0x80 || bytes[1] !== 2 || bytes[2] !== 0x8a || bytes[3] !== 10) other();
  const magic = unpickle(bytes, 0, where, plain);
  const protocol = unpickle(bytes, magic.end, where, plain);
  if (magic.value !== LEGACY_MAGIC || protocol.value !== LEGACY_PROTOCOL) other();
  const system = unpickle(bytes, protocol.end, where, plain);
  if (!(system.value instanceof Map) || system.value.get("little_endian") !== true) {
    throw new InputError(`${where}: expected numbers of little endian, found big`);
  }
  const reader = torchReader(where);
  const object = unpickle(bytes, system.end, where, reader);
  const keys = unpickle(bytes, object.end, where, plain);
  const storages = new Map(reader.storages.map((storage) => [storage.key, storage]));
  const stored = legacyStorages(bytes, keys.end, keys.value, storages, where);
  return { value: object.value, bytesOf: (key) => stored.get(key) };
}

/** The storages behind the pickles: of each the number of elements, then they. */
function legacyStorages(
  bytes: Uint8Array,
  start: number,
  keys: unknown,
  storages: ReadonlyMap<string, Storage>,
  where: string,
): Map<string, Uint8Array> {
  const cut = (): never => {
    throw new InputError(`${where}: the storages are cut off, or of another length than they say`);
  };
  if (!Array.isArray(keys)) cut();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const found = new Map<string, Uint8Array>();
  let at = start;
  for (const key of keys as unknown[]) {
    const storage = storages.get(String(key)) ?? cut();
    if (at + 8 > bytes.length || view.getBigInt64(at, true) !== BigInt(storage.length)) cut();
    const end = at + 8 + storageBytes(storage);
    if (end > bytes.length) cut();
    found.set(storage.key, bytes.subarray(at + 8, end));
    at = end;
  }
  return found;
}

/** The tensors of floats in a dict: the object's own, or those under a key that is known for them. */
function stateDict(value: unknown, where: string): Map<string, TensorView> {
  const own = tensorsIn(value);
  if (own.size > 0) return own;
  if (value instanceof Map) {
    for (const key of STATE_KEYS) {
      const nested = tensorsIn(value.get(key));
      if (nested.size > 0) return nested;
    }
  }
  throw new InputError(
    `${where}: expected a dict of tensors, or one under ${STATE_KEYS.join(", ")}; found ${
      describe(value)
    }`,
  );
}

function tensorsIn(value: unknown): Map<string, TensorView> {
  const tensors = new Map<string, TensorView>();
  if (!(value instanceof Map)) return tensors;
  for (const [name, tensor] of value) {
    if (typeof name === "string" && tensor instanceof TensorView && tensor.isFloat) {
      tensors.set(name, tensor);
    }
  }
  return tensors;
}

function describe(value: unknown): string {
  if (!(value instanceof Map)) return kindOf(value);
  const keys = value.keys().take(8).map(kindOf);
  return `a dict with ${[...keys].join(", ") || "nothing"}`;
}

/** As text, a list that is in itself a hundred times would have no end. */
function kindOf(value: unknown): string {
  if (value instanceof TensorView) return "a tensor alone";
  if (value instanceof Tuple) return "a tuple";
  if (value instanceof Map) return "a dict";
  if (Array.isArray(value)) return "a list";
  return typeof value === "object" && value !== null ? "an object" : shown(value);
}
