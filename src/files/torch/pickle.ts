/**
 * Python's pickle, restricted: a stack machine that builds numbers, strings, lists, tuples and dicts.
 * Names of Python objects stay names; what would call one is handed to the reader, which knows the few
 * that are data. Nothing is imported and no code runs.
 * Source: the opcodes of CPython's pickletools.
 */
import { InputError } from "../../errors.ts";

/** A name of a Python object, which is never looked up. */
export class PickleGlobal {
  constructor(readonly module: string, readonly name: string) {}

  toString(): string {
    return `${this.module}.${this.name}`;
  }
}

/** A Python tuple, apart from a list. */
export class Tuple {
  constructor(readonly items: readonly unknown[]) {}
}

/** What the reader of one kind of pickle adds to the machine. */
export interface PickleReader {
  /** The object that a call gives. @throws InputError for a call that is not data */
  reduce(callee: PickleGlobal, args: readonly unknown[]): unknown;
  /** The object that lies outside the pickle. */
  persistent?(id: unknown): unknown;
}

/** A pickle's object, and where the bytes behind it begin. */
export interface Unpickled {
  readonly value: unknown;
  readonly end: number;
}

/** The most opcodes of one pickle, and of objects that it remembers: a state dict has some twenty a tensor. */
const MAX_OPCODES = 5_000_000;

/** What to do with a file that has more in it. */
export const PLAIN =
  "read are tensors, numbers, strings, lists and dicts: save model.state_dict(), or the model with safe_serialization=True";

const MARK = Symbol("mark");

/**
 * Reads one pickle of protocol 2 to 5.
 * @throws InputError that names the opcode or object which is not data, or says where it is cut off
 */
export function unpickle(
  bytes: Uint8Array,
  start: number,
  where: string,
  reader: PickleReader,
): Unpickled {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const fail = (problem: string): never => {
    throw new InputError(`${where}: ${problem}`);
  };
  const stack: unknown[] = [];
  const memo = new Map<number, unknown>();
  let at = start;

  const take = (length: number): number => {
    const from = at;
    if (length > bytes.length - from) fail("the pickle is cut off");
    at += length;
    return from;
  };
  const byte = () => bytes[take(1)];
  const uint32 = () => view.getUint32(take(4), true);
  const text = (length: number, encoding = "utf-8") => {
    const from = take(length);
    try {
      return new TextDecoder(encoding, { fatal: true }).decode(bytes.subarray(from, from + length));
    } catch {
      return fail("a string of the pickle is not UTF-8");
    }
  };
  const line = () => {
    const end = bytes.indexOf(0x0a, at);
    if (end < 0) return fail("the pickle is cut off");
    const read = text(end - at);
    at = end + 1;
    return read;
  };
  const pop = () => {
    if (stack.length === 0 || stack.at(-1) === MARK) fail("the pickle is damaged");
    return stack.pop();
  };
  const popMark = () => {
    const mark = stack.lastIndexOf(MARK);
    if (mark < 0) return fail("the pickle is damaged");
    const items = stack.splice(mark);
    items.shift();
    return items;
  };
  const top = () => {
    const value = pop();
    stack.push(value);
    return value;
  };
  const remember = (index: number) => void memo.set(index, top());
  const recall = (index: number) =>
    memo.has(index) ? memo.get(index) : fail("the pickle names an object that it did not make");
  const append = (items: readonly unknown[]) => {
    const list = top();
    if (!Array.isArray(list)) return fail(`the pickle appends to ${describe(list)}`);
    for (const item of items) list.push(item);
  };
  const setItems = (items: readonly unknown[]) => {
    const dict = top();
    if (!(dict instanceof Map) || items.length % 2) {
      return fail(`the pickle puts items into ${describe(dict)}`);
    }
    for (let i = 0; i < items.length; i += 2) dict.set(items[i], items[i + 1]);
  };
  const tuple = (length: number) => {
    const items = Array.from({ length }, pop).reverse();
    stack.push(new Tuple(items));
  };

  const opcodes: Record<number, () => void> = {
    0x80: () => {
      const protocol = byte();
      if (protocol < 2 || protocol > 5) {
        fail(`the pickle has protocol ${protocol}; 2 to 5 are read`);
      }
    },
    0x95: () => void take(8), // FRAME
    0x28: () => void stack.push(MARK), // (
    0x4e: () => void stack.push(null), // N
    0x88: () => void stack.push(true),
    0x89: () => void stack.push(false),
    0x4a: () => void stack.push(view.getInt32(take(4), true)), // J BININT
    0x4b: () => void stack.push(byte()), // K BININT1
    0x4d: () => void stack.push(view.getUint16(take(2), true)), // M BININT2
    0x8a: () => void stack.push(longOf(bytes.subarray(take(byte()), at))), // LONG1
    0x47: () => void stack.push(view.getFloat64(take(8))), // G BINFLOAT, big-endian
    0x58: () => void stack.push(text(uint32())), // X BINUNICODE
    0x8c: () => void stack.push(text(byte())), // SHORT_BINUNICODE
    0x55: () => void stack.push(text(byte(), "latin1")), // U, Python 2's str
    0x54: () => void stack.push(text(uint32(), "latin1")), // T
    0x7d: () => void stack.push(new Map()), // }
    0x5d: () => void stack.push([]), // ]
    0x29: () => tuple(0), // )
    0x85: () => tuple(1),
    0x86: () => tuple(2),
    0x87: () => tuple(3),
    0x74: () => void stack.push(new Tuple(popMark())), // t
    0x61: () => { // a APPEND
      const item = pop();
      append([item]);
    },
    0x65: () => append(popMark()), // e APPENDS
    0x73: () => { // s SETITEM
      const value = pop();
      const key = pop();
      setItems([key, value]);
    },
    0x75: () => setItems(popMark()), // u SETITEMS
    0x71: () => remember(byte()), // q BINPUT
    0x72: () => remember(uint32()), // r LONG_BINPUT
    0x94: () => remember(memo.size), // MEMOIZE
    0x68: () => void stack.push(recall(byte())), // h BINGET
    0x6a: () => void stack.push(recall(uint32())), // j LONG_BINGET
    0x63: () => { // c GLOBAL
      const module = line();
      stack.push(new PickleGlobal(module, line()));
    },
    0x93: () => { // STACK_GLOBAL
      const name = pop();
      const module = pop();
      if (typeof module !== "string" || typeof name !== "string") fail("the pickle is damaged");
      stack.push(new PickleGlobal(module as string, name as string));
    },
    0x52: () => { // R REDUCE
      const args = pop();
      const callee = pop();
      if (!(callee instanceof PickleGlobal) || !(args instanceof Tuple)) {
        return fail(`the pickle calls ${describe(callee)}, which is not run; ${PLAIN}`);
      }
      stack.push(reader.reduce(callee, args.items));
    },
    0x81: () => { // NEWOBJ
      pop();
      fail(`the pickle makes an object of ${describe(pop())}, which is not run; ${PLAIN}`);
    },
    0x62: () => { // b BUILD: attributes of an object, which plain data does without
      pop();
      top();
    },
    0x51: () => { // Q BINPERSID
      const id = pop();
      if (!reader.persistent) return fail("the pickle names an object outside it");
      stack.push(reader.persistent(id));
    },
  };

  for (let count = 0;; count++) {
    if (count >= MAX_OPCODES) fail(`the pickle has more than ${MAX_OPCODES} opcodes`);
    const code = byte();
    if (code === 0x2e) { // STOP
      const value = pop();
      if (stack.length > 0) fail("the pickle is damaged");
      return { value, end: at };
    }
    const run = opcodes[code];
    if (!run) {
      const last = stack.findLast((value) => value instanceof PickleGlobal);
      fail(
        `the pickle has the opcode 0x${code.toString(16)}${
          last ? ` after ${last}` : ""
        }, which tensors and plain data do without`,
      );
    }
    run();
  }
}

/** A whole number in two's complement, as a bigint where it is not exact otherwise. */
function longOf(bytes: Uint8Array): number | bigint {
  let value = 0n;
  for (let i = bytes.length - 1; i >= 0; i--) value = value << 8n | BigInt(bytes[i]);
  if (bytes.length > 0 && bytes.at(-1)! & 0x80) value -= 1n << BigInt(8 * bytes.length);
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

function describe(value: unknown): string {
  if (value instanceof PickleGlobal) return String(value);
  if (value instanceof Map) return "a dict";
  if (value instanceof Tuple) return "a tuple";
  if (Array.isArray(value)) return "a list";
  return value === null ? "None" : `a ${typeof value}`;
}
